"""The manifests are valid for Kubernetes, refer only to what exists, and let through what must talk."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy" / "kubernetes"
FILES = [file for file in sorted(FOLDER.rglob("*.yaml")) if file.name != "kustomization.yaml"]
KUBERNETES = "1.31"
PATCHES = {
    "gpu/model-server.yaml", "bucket/no-volume.yaml", "sentinel/redis.yaml", "redis-users/servers.yaml",
    "redis-users/services.yaml",
}  # fmt: skip
"""Pieces of objects, complete only after kustomize."""


def documents(files: list[Path] = FILES) -> Iterator[tuple[Path, dict[str, Any]]]:
    for file in files:
        for document in yaml.safe_load_all(file.read_text()):
            yield file, document


WHOLE = [(f, d) for f, d in documents() if f"{f.parent.name}/{f.name}" not in PATCHES]
NATIVE = [d for _, d in WHOLE if d["kind"] != "ScaledObject"]
SCALED = [d for _, d in WHOLE if d["kind"] == "ScaledObject"]
PODS = [d for d in NATIVE if d["kind"] in {"Deployment", "StatefulSet"}]


def name(document: dict[str, Any]) -> str:
    return f"{document['kind']}/{document['metadata']['name']}"


def one(kind: str, called: str) -> dict[str, Any]:
    (found,) = [d for d in NATIVE if d["kind"] == kind and d["metadata"]["name"] == called]
    return found


def labels(pods: dict[str, Any]) -> dict[str, str]:
    return dict(pods["spec"]["template"]["metadata"]["labels"])


def containers(pods: dict[str, Any]) -> list[dict[str, Any]]:
    return list(pods["spec"]["template"]["spec"]["containers"])


@pytest.mark.parametrize("document", NATIVE, ids=name)
def test_the_schema_of_kubernetes_takes_it(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


@pytest.mark.parametrize("file", sorted(FOLDER.rglob("kustomization.yaml")), ids=lambda f: f.parent.name)
def test_a_kustomization_lists_files_that_exist(file: Path) -> None:
    found = yaml.safe_load(file.read_text())
    named = [*found["resources"], *(patch["path"] for patch in found.get("patches", []))]
    assert [entry for entry in named if not (file.parent / entry).exists()] == []


def test_every_manifest_is_used() -> None:
    used: set[Path] = set()
    for file in FOLDER.rglob("kustomization.yaml"):
        found = yaml.safe_load(file.read_text())
        named = chain(found["resources"], (patch["path"] for patch in found.get("patches", [])))
        used |= {(file.parent / entry).resolve() for entry in named}
    assert {f for f in FILES if f.name != "secret.example.yaml"} <= used


@pytest.mark.parametrize("pods", PODS, ids=name)
def test_pods_are_found_by_their_selector_and_hardened(pods: dict[str, Any]) -> None:
    assert pods["spec"]["selector"]["matchLabels"].items() <= labels(pods).items()
    spec = pods["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    for container in containers(pods):
        hardened = container["securityContext"]
        assert hardened["readOnlyRootFilesystem"] is True
        assert hardened["allowPrivilegeEscalation"] is False
        assert hardened["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]
        mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
        claims = {claim["metadata"]["name"] for claim in pods["spec"].get("volumeClaimTemplates", [])}
        assert mounts <= {volume["name"] for volume in spec.get("volumes", [])} | claims


@pytest.mark.parametrize("pods", PODS, ids=name)
def test_settings_are_ones_the_code_reads(pods: dict[str, Any]) -> None:
    read = set(re.findall(r"HIPPOCAMP_[A-Z_]+", "".join(f.read_text() for f in ROOT.glob("*/Dockerfile"))))
    sources = chain(
        ROOT.glob("contracts/*.py"), ROOT.glob("*/settings.py"), ROOT.glob("deploy/*/settings.py")
    )
    for file in sources:
        found = re.findall(r"env_(?:text|number|count|flag|redis|folder)\(\s*\"([A-Z_]+)\"", file.read_text())
        read |= {f"HIPPOCAMP_{setting}" for setting in found}
    (config,) = yaml.safe_load((FOLDER / "base/kustomization.yaml").read_text())["configMapGenerator"]
    given = {literal.partition("=")[0] for literal in config["literals"]}
    given |= {
        e["name"] for c in containers(pods) for e in c.get("env", []) if e["name"].startswith("HIPPOCAMP_")
    }
    assert given <= read


@pytest.mark.parametrize("service", [d for d in NATIVE if d["kind"] == "Service"], ids=name)
def test_a_service_leads_to_a_port_of_its_pods(service: dict[str, Any]) -> None:
    pod = "statefulset.kubernetes.io/pod-name"  # each pod of a set has it, beside the labels of its template
    chosen = {key: value for key, value in service["spec"]["selector"].items() if key != pod}.items()
    (pods,) = [p for p in PODS if chosen <= labels(p).items()]
    ports = [port for container in containers(pods) for port in container["ports"]]
    open_ = {port["name"] for port in ports} | {port["containerPort"] for port in ports}
    for port in service["spec"]["ports"]:
        assert port.get("targetPort", port["port"]) in open_


def test_budgets_and_scalers_name_pods_that_exist() -> None:
    deployments = {d["metadata"]["name"] for d in PODS}
    budgets = [d["spec"]["selector"]["matchLabels"] for d in NATIVE if d["kind"] == "PodDisruptionBudget"]
    assert {chosen["app.kubernetes.io/name"] for chosen in budgets} <= deployments
    assert {d["spec"]["scaleTargetRef"]["name"] for d in SCALED} <= deployments


def test_a_stopped_worker_has_time_to_hand_back_what_it_holds() -> None:
    (config,) = yaml.safe_load((FOLDER / "base/kustomization.yaml").read_text())["configMapGenerator"]
    stop = next(int(x.split("=")[1]) for x in config["literals"] if x.startswith("HIPPOCAMP_STOP_SECONDS"))
    for worker in ("preprocessing", "infer", "deliver", "maintain"):
        grace = one("Deployment", worker)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        assert grace >= stop + 10


# --- KEDA's ScaledObject (keda.sh/v1alpha1) ---


def closed(schema: Any) -> Any:
    """A schema in which an object has no other fields than those it names: a misspelt one is refused."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(part) for key, part in schema.items()}
    if "properties" in schema and "additionalProperties" not in schema:
        inner["additionalProperties"] = schema.get("x-kubernetes-preserve-unknown-fields", False)
    return inner


KEDA = jsonschema.Draft202012Validator(
    closed(json.loads(Path(__file__).with_name("keda_scaledobject.json").read_text()))
    | {"required": ["apiVersion", "kind", "metadata", "spec"]}
)


@pytest.mark.parametrize("scaled", SCALED, ids=name)
def test_the_schema_of_keda_takes_it(scaled: dict[str, Any]) -> None:
    whole = {key: part for key, part in scaled.items() if key != "metadata"} | {"metadata": {}}
    assert [error.message for error in KEDA.iter_errors(whole)] == []


@pytest.mark.parametrize(
    "broken",
    [
        {"minReplicas": 1},
        {"maxReplicaCount": "many"},
        {"triggers": [{"type": "prometheus"}]},
        {"triggers": None},
        {"fallback": {"replicas": 2}},
    ],
    ids=["misspelt", "no number", "no metadata", "no triggers", "half a fallback"],
)
def test_the_schema_of_keda_refuses_nonsense(broken: dict[str, Any]) -> None:
    whole = {key: part for key, part in SCALED[0].items() if key != "metadata"} | {"metadata": {}}
    spec = {key: part for key, part in (whole["spec"] | broken).items() if part is not None}
    assert list(KEDA.iter_errors(whole | {"spec": spec})) != []


@pytest.mark.parametrize("scaled", SCALED, ids=name)
def test_a_scaler_follows_depth_and_age_of_its_own_stage(scaled: dict[str, Any]) -> None:
    spec = scaled["spec"]
    assert scaled["apiVersion"] == "keda.sh/v1alpha1"
    assert set(spec) <= {
        "scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "cooldownPeriod",
        "advanced", "fallback", "triggers",
    }  # fmt: skip
    assert 1 <= spec["minReplicaCount"] < spec["maxReplicaCount"]
    depth, age = spec["triggers"]
    stage = {"preprocessing": "preprocess"}.get(
        spec["scaleTargetRef"]["name"], spec["scaleTargetRef"]["name"]
    )
    for trigger, metric in (
        (depth, "hippocamp_waiting"),
        (depth, "hippocamp_running"),
        (age, "hippocamp_oldest"),
    ):
        assert trigger["type"] == "prometheus"
        assert trigger["metricType"] in {"AverageValue", "Value"}
        assert set(trigger["metadata"]) == {"serverAddress", "query", "threshold"}
        assert metric in trigger["metadata"]["query"]
        assert f'stage="{stage}"' in trigger["metadata"]["query"]
        assert float(trigger["metadata"]["threshold"]) > 0


def test_the_behaviour_of_a_scaler_is_one_of_an_autoscaler() -> None:
    for scaled in SCALED:
        behaviour = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        autoscaler = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "x"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"},
                "maxReplicas": scaled["spec"]["maxReplicaCount"],
                "behavior": behaviour,
            },
        }
        kubernetes_validate.validate(autoscaler, KUBERNETES, strict=True)


# --- the network ---

NEEDED = [
    *[
        (user, "redis", 6379)
        for user in ("gateway", "preprocessing", "infer", "deliver", "maintain", "beat", "exporter")
    ],
    *[(user, "cache", 6379) for user in ("gateway", "infer", "maintain")],
    ("infer", "model-server", 8080),
    *[(user, "sentinel", 26379) for user in ("gateway", "preprocessing", "exporter", "redis", "sentinel")],
    *[(user, "redis", 6379) for user in ("redis", "sentinel")],
]
FORBIDDEN = [
    ("preprocessing", "cache", 6379),
    ("preprocessing", "model-server", 8080),
    ("preprocessing", "gateway", 8080),
    ("gateway", "model-server", 8080),
    ("deliver", "model-server", 8080),
    ("model-server", "redis", 6379),
    ("model-server", "sentinel", 26379),
    ("sentinel", "gateway", 8080),
]


@pytest.mark.parametrize(("source", "target", "port"), NEEDED)
def test_what_must_talk_can(source: str, target: str, port: int) -> None:
    assert allowed("Egress", source, target, port)
    assert allowed("Ingress", target, source, port)


@pytest.mark.parametrize(("source", "target", "port"), FORBIDDEN)
def test_what_need_not_talk_cannot(source: str, target: str, port: int) -> None:
    assert not (allowed("Egress", source, target, port) and allowed("Ingress", target, source, port))


def allowed(direction: str, here: str, there: str, port: int) -> bool:
    """Whether some policy of `here` lets the other pod through in this direction."""
    key, peers = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    for policy in (d["spec"] for d in NATIVE if d["kind"] == "NetworkPolicy"):
        if direction not in policy["policyTypes"] or not selects(policy["podSelector"], here):
            continue
        for rule in policy.get(key, []):
            if port not in {entry["port"] for entry in rule.get("ports", [])}:
                continue
            if any("podSelector" in p and "namespaceSelector" not in p and selects(p["podSelector"], there)
                   for p in rule.get(peers, [])):  # fmt: skip
                return True
    return False


def selects(selector: dict[str, Any], pod: str) -> bool:
    if not selector:
        return True
    if "matchLabels" in selector:
        return bool(selector["matchLabels"].get("app.kubernetes.io/name") == pod)
    return any(pod in expression["values"] for expression in selector["matchExpressions"])
