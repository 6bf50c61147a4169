"""Clients that hold on to what they get, against the running gateway, and what another site notices of it."""
