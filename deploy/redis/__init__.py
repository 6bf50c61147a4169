"""Redis as strangers' neighbours need it: a user a service, each with its keys and commands, over TLS."""
