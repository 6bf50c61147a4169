"""Prometheus's programs for the tests."""

from __future__ import annotations

from tests.debian import unpacked


def promtool() -> str:
    """Path of `promtool`."""
    return unpacked("promtool", package="prometheus")


def prometheus() -> str:
    """Path of the server."""
    return unpacked("prometheus", package="prometheus")
