"""The subcommands of `hippocamp-admin`."""
