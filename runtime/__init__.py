"""What every process runs on: settings, logs, metrics, traces, Redis connections, blob storage, audit log."""
