"""Data that crosses a process: errors, states, job, result, stack, covariates, model card, series words."""
