"""The client tests' gateway, line and stand-in workers."""

from tests.integration.client.conftest import carrier, settings, url

__all__ = ["carrier", "settings", "url"]
