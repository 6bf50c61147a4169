"""`hippocamp-admin`: sites, workers, repair, doctor, dashboard; talks to Redis itself."""
