"""The one process that turns Redis's state into figures for Prometheus; all others count only themselves."""
