"""kustomize puts each overlay together, and what comes out is valid as a whole."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.kubernetes_tools import kubectl

pytestmark = pytest.mark.integration

OVERLAYS = Path(__file__).resolve().parents[3] / "deploy" / "kubernetes" / "overlays"


@cache
def rendered(overlay: str) -> list[dict[str, Any]]:
    command = [kubectl(), "kustomize", str(OVERLAYS / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("overlay", ["keda", "gpu", "bucket", "sentinel", "redis-users"])
def test_an_overlay_is_valid_as_a_whole(overlay: str) -> None:
    found = rendered(overlay)
    for document in found:
        if document["kind"] != "ScaledObject":
            kubernetes_validate.validate(document, "1.31", strict=True)
    assert {d["metadata"].get("namespace", d["metadata"]["name"]) for d in found} == {"hippocamp"}
    assert sum(d["kind"] == "ScaledObject" for d in found) == 3


def test_the_gpu_overlay_asks_for_a_gpu() -> None:
    (server,) = [
        d for d in rendered("gpu") if d["kind"] == "Deployment" and d["metadata"]["name"] == "model-server"
    ]
    (container,) = server["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["image"] == "hippocamp-model-server:cuda"
    assert container["readinessProbe"]["exec"]["command"][:3] == ["python", "-m", "deploy.probe"]


def test_with_a_bucket_nobody_mounts_the_shared_volume() -> None:
    found = rendered("bucket")
    mounts = [
        mount["mountPath"]
        for d in found
        if d["kind"] == "Deployment"
        for container in d["spec"]["template"]["spec"]["containers"]
        for mount in container.get("volumeMounts", [])
    ]
    assert "/blobs" not in mounts
    assert mounts.count("/audit") == 1
    assert [d["metadata"]["name"] for d in found if d["kind"] == "PersistentVolumeClaim"] == ["audit"]
    (settings,) = [d["data"] for d in found if d["kind"] == "ConfigMap"]
    assert settings["HIPPOCAMP_BLOBS"].startswith("s3://")
    assert settings["HIPPOCAMP_LEASE_SECONDS"] == "20", "merged with the base's"


def test_with_sentinels_redis_and_they_run_the_scripts_that_the_fail_over_test_runs() -> None:
    found = rendered("sentinel")
    (scripts,) = [
        d for d in found if d["kind"] == "ConfigMap" and d["metadata"]["name"].startswith("watched")
    ]
    sources = OVERLAYS.parents[1] / "redis" / "watched"
    assert scripts["data"] == {name: (sources / name).read_text() for name in ("start.sh", "sentinel.sh")}
    sets = {d["metadata"]["name"]: d["spec"] for d in found if d["kind"] == "StatefulSet"}
    assert {name: spec["replicas"] for name, spec in sets.items()} == {"redis": 2, "sentinel": 3}
    for name, script in {"redis": "start.sh", "sentinel": "sentinel.sh"}.items():
        spec = sets[name]["template"]["spec"]
        (container,) = spec["containers"]
        assert container["command"] == ["sh", f"/watched/{script}"]
        assert {"name": "watched", "mountPath": "/watched"} in container["volumeMounts"]
        (mounted,) = [volume for volume in spec["volumes"] if volume["name"] == "watched"]
        assert mounted["configMap"]["name"] == scripts["metadata"]["name"], "with kustomize's suffix"
        assert {"FIRST", "DATA", "REDIS_PASSWORD"} <= {entry["name"] for entry in container["env"]}
    (settings,) = [d["data"] for d in found if d["kind"] == "ConfigMap" and d is not scripts]
    assert settings["HIPPOCAMP_REDIS_REPLICAS"] == "1"


def test_with_redis_users_each_service_has_its_own_and_nothing_is_left_of_the_password() -> None:
    found = rendered("redis-users")
    pods = {d["metadata"]["name"]: d for d in found if d["kind"] in {"Deployment", "StatefulSet"}}
    for name in pods.keys() - {"redis", "cache", "model-server"}:
        spec = pods[name]["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        sources = {entry["name"]: entry["valueFrom"]["secretKeyRef"]["key"] for entry in container["env"]
                   if "valueFrom" in entry}  # fmt: skip
        user = "maintain" if name == "beat" else name
        assert sources["HIPPOCAMP_REDIS_URL"] == f"{user.upper()}_REDIS_URL"
        assert "/run/secrets" in {mount["mountPath"] for mount in container["volumeMounts"]}
    for name, acl in {"redis": "users.acl", "cache": "cache.acl"}.items():
        (container,) = pods[name]["spec"]["template"]["spec"]["containers"]
        assert container["command"] == ["redis-server"]
        options = dict(zip(container["args"][::2], container["args"][1::2], strict=True))
        assert (options["--port"], options["--aclfile"]) == ("0", f"/run/secrets/{acl}")
        assert "REDIS_PASSWORD" not in str(pods[name])
