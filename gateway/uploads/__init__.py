"""From the bytes of a request to a durable job: receive, sanitize, submit."""
