"""The durable queue: jobs and deliveries in Redis, moved only by Lua scripts, with leases and fences."""
