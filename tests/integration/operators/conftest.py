"""The client tests' gateway, job store and stand-in workers."""

from tests.integration.client.conftest import admin, carrier, client, environment, hospital, settings, url

__all__ = ["admin", "carrier", "client", "environment", "hospital", "settings", "url"]
