"""The consumer of the deliver stage: one signed webhook at a time."""
