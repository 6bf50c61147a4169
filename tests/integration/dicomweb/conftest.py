"""The client tests' gateway, line and stand-in workers."""

from tests.integration.client.conftest import carrier, environment, hospital, pacs, settings, url

__all__ = ["carrier", "environment", "hospital", "pacs", "settings", "url"]
