"""How the services are started: on one machine, by compose, in a cluster."""
