"""The checks of `hippocamp-admin doctor`, each with what it found and what to do."""
