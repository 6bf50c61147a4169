"""The whole system on one machine, without root: used by `make demo`, `make up` and the end-to-end tests."""
