"""The subcommands of `hippocamp`, one file for each or for a few of one kind."""
