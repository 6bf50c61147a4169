"""Health, metrics, load and the models in service."""
