"""The health check of the containers tells a model server that infers from one that only answers."""

from __future__ import annotations

import pytest

from deploy.local.supervisor import LocalSystem
from deploy.probe import probe
from tests.conftest import free_port

pytestmark = pytest.mark.e2e


@pytest.fixture(autouse=True)
def _with_the_token(stack: LocalSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "HIPPOCAMP_MODEL_TOKEN_FILE"
    monkeypatch.setenv(name, stack.settings.environment()[name])


def test_a_golden_inference_without_the_token_fails(
    stack: LocalSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HIPPOCAMP_MODEL_TOKEN_FILE")
    url = f"http://127.0.0.1:{stack.settings.ports.model_server}/predictions/hippocamp"
    assert "400" in probe(url, golden=True, seconds=30)


def test_a_golden_inference_passes(stack: LocalSystem) -> None:
    url = f"http://127.0.0.1:{stack.settings.ports.model_server}/predictions/hippocamp"
    assert probe(url, golden=True, seconds=30) == ""


def test_a_model_that_is_not_served_fails(stack: LocalSystem) -> None:
    url = f"http://127.0.0.1:{stack.settings.ports.model_server}/predictions/another"
    assert "404" in probe(url, golden=True, seconds=30)


def test_a_gateway_that_is_alive_passes_and_a_silent_port_fails(stack: LocalSystem) -> None:
    assert probe(f"{stack.settings.gateway_url}/livez", golden=False, seconds=5) == ""
    assert probe(f"http://127.0.0.1:{free_port()}/livez", golden=False, seconds=2) != ""
