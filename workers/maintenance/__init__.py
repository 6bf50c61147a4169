"""The consumer that keeps the job store in order: leases, wake-ups, retention, canary."""
