"""What processes must agree on: errors, states, the job record, the line, blobs, settings, telemetry."""
