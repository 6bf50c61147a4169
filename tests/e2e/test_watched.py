"""A real Prometheus watches the running system: all targets answer, all rules work, all names exist."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deploy.grafana.generate import panels
from deploy.local.supervisor import Stack
from tests.conftest import free_port
from tests.e2e import volumes
from tests.e2e.receiver import Receiver
from tests.e2e.service import Service
from tests.prometheus_tools import prometheus

pytestmark = pytest.mark.e2e

RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
NAME = re.compile(r"\b(?:hippocamp_[a-z0-9_]+|hippocamp:[a-z0-9_:]+|ts_[a-z_]+)\b")


def config(stack: Stack, folder: Path) -> Path:
    """prometheus.yml of the containers with this system's addresses, scraped every second."""
    ports = stack.settings.ports
    at = {
        "exporter": ports.exporter,
        "gateway": ports.gateway,
        "preprocess": ports.preprocess_metrics,
        "infer": ports.infer_metrics,
        "deliver": ports.deliver_metrics,
        "maintain": ports.maintain_metrics,
        "model_server": ports.model_metrics,
    }
    found = yaml.safe_load((RULES / "prometheus.yml").read_text())
    found["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    found["rule_files"] = [str(RULES / name) for name in found["rule_files"]]
    for job in found["scrape_configs"]:
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [f"127.0.0.1:{at[job['job_name']]}"]}]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(found))
    return path


class Watcher:
    """The HTTP interface of Prometheus."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=f"{url}/api/v1", timeout=10, trust_env=False)

    def ask(self, path: str, **parameters: str) -> Any:
        return self.http.get(path, params=parameters).raise_for_status().json()["data"]

    def value(self, query: str) -> float:
        found = self.ask("/query", query=query)["result"]
        return float(found[0]["value"][1]) if found else float("nan")

    def names(self) -> set[str]:
        return set(self.ask("/label/__name__/values"))


@pytest.fixture
def watcher(stack: Stack, tmp_path: Path) -> Iterator[Watcher]:
    port = free_port()
    command = [
        prometheus(), f"--config.file={config(stack, tmp_path)}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    found = Watcher(f"http://127.0.0.1:{port}")
    try:
        until(lambda: found.ask("/targets")["activeTargets"])
        yield found
    finally:
        found.http.close()
        process.terminate()
        process.wait(20)


def until(check: Any, *, within: float = 30) -> None:
    ends = time.monotonic() + within
    while True:
        try:
            if check():
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < ends, f"not within {within} s"
        time.sleep(0.3)


def wanted_names() -> set[str]:
    """Every metric that a rule, an alert or a panel asks for."""
    queries = [
        rule["expr"]
        for file in ("recording.yml", "alerts.yml")
        for group in yaml.safe_load((RULES / file).read_text())["groups"]
        for rule in group["rules"]
    ]
    queries += [
        query for shown in panels().values() for panel in shown for query in panel["queries"].values()
    ]
    return set(NAME.findall(json.dumps(queries)))


def test_everything_that_is_watched_exists(
    stack: Stack, service: Service, volume: Path, watcher: Watcher
) -> None:
    sent = 'sum(hippocamp_jobs_submitted_total{job="exporter"})'
    until(lambda: watcher.value(sent) >= 0)
    before = watcher.value(sent)
    with Receiver() as receiver:
        made = service.http.post("/v1/webhook-endpoints", json={"url": receiver.url})
        assert made.status_code == 201, made.text
        job_id = service.send_raw(volumes.nudged(volume, 21)).json()["id"]
        assert service.finished(job_id)["state"] == "succeeded"
        receiver.verified(made.json()["secret"], within=30)
        service.http.delete(f"/v1/webhook-endpoints/{made.json()['id']}")
    assert service.finished(service.send(volumes.nifti(volumes.sphere())).json()["id"])["state"] == "failed"
    assert service.send(b"a letter " * 50).status_code == 415
    until(lambda: watcher.value(sent) == before + 2)

    until(lambda: all(t["health"] == "up" for t in watcher.ask("/targets")["activeTargets"]))
    assert len(watcher.ask("/targets")["activeTargets"]) == 7
    rules = [rule for group in watcher.ask("/rules")["groups"] for rule in group["rules"]]
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] == "err"] == []
    time.sleep(5)  # two scrapes, and the rules made of them
    assert wanted_names() - watcher.names() == set()
    firing = {a["labels"]["alertname"] for a in watcher.ask("/alerts")["alerts"] if a["state"] == "firing"}
    assert firing <= {"LeasesExpire"}, firing  # other tests kill workers

    both = (
        'sum(hippocamp_preprocess_seconds_count) + sum(hippocamp_preprocess_failures_total{outcome="failed"})'
    )
    assert watcher.value(both) <= watcher.value('sum(hippocamp_claims_total{stage="preprocess"})')
