"""The client tests' gateway, line and stand-in workers."""

from tests.integration.client.conftest import carrier, environment, hippocamp, hospital, settings, url

__all__ = ["carrier", "environment", "hippocamp", "hospital", "settings", "url"]
