"""Prometheus's own checker reads the configuration, and every alert fires when it should and only then."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.prometheus_tools import promtool

pytestmark = pytest.mark.integration

RULES = Path(__file__).resolve().parents[3] / "deploy" / "prometheus"


def test_prometheus_takes_the_configuration() -> None:
    checked([promtool(), "check", "config", str(RULES / "prometheus.yml")])


def test_the_alerts_fire_when_they_should_and_only_then() -> None:
    checked([promtool(), "test", "rules", *map(str, sorted(RULES.glob("*_test.yml")))])


def checked(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
