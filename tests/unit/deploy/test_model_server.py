"""Wherever TorchServe is started, nobody but its own user reaches its management."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.model_server import configuration
from deploy.local.settings import ROOT, LocalSettings


def properties(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def local() -> dict[str, str]:
    return properties(configuration(LocalSettings(), Path("/store"), Path("/run/management.sock")))


def contained() -> dict[str, str]:
    """The image's, which compose and Kubernetes run."""
    return properties((ROOT / "deploy" / "compose" / "torchserve.properties").read_text())


@pytest.mark.parametrize("found", [local(), contained()], ids=["local", "container"])
def test_management_is_a_socket(found: dict[str, str]) -> None:
    assert found["management_address"].startswith("unix:/")
    assert found["enable_model_api"] == "false"
    assert found.get("grpc_management_address", "127.0.0.1") == "127.0.0.1"


def test_where_others_reach_loopback_every_call_needs_the_token() -> None:
    assert local()["disable_token_authorization"] == "false"
    assert int(local()["token_expiration_min"]) > 366 * 24 * 60
    told = LocalSettings().environment()["HIPPOCAMP_MODEL_TOKEN_FILE"]
    assert Path(told).name == "key_file.json"


def test_the_image_uses_these_properties_and_nothing_overrides_them() -> None:
    text = (ROOT / "model_store" / "Dockerfile").read_text()
    assert "deploy/compose/torchserve.properties" in text
    assert "EXPOSE 8080 8082" in text
    for path in (ROOT / "deploy" / "kubernetes").rglob("*.yaml"):
        assert "8081" not in path.read_text(), path
