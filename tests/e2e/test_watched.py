"""A real Prometheus watches the running system: all targets answer, all rules work, all names exist."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deploy.grafana.generate import panels
from deploy.local.supervisor import LocalSystem
from operators.doctor import checks
from operators.doctor.prometheus_checks import prometheus_checks
from tests.conftest import free_port
from tests.e2e import volumes
from tests.e2e.receiver import Receiver
from tests.e2e.service import Service
from tests.prometheus_tools import prometheus
from tests.support.waiting import MOST_WAIT_SECONDS

pytestmark = pytest.mark.e2e

RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
NAME = re.compile(r"\b(?:hippocamp_[a-z0-9_]+|hippocamp:[a-z0-9_:]+|ts_[a-z_]+)\b")


def config(stack: LocalSystem, folder: Path) -> Path:
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
        self.http = httpx.Client(base_url=f"{url}/api/v1", timeout=60, trust_env=False)

    def ask(self, path: str, **parameters: str) -> Any:
        return self.http.get(path, params=parameters).raise_for_status().json()["data"]

    def value(self, query: str) -> float:
        found = self.ask("/query", query=query)["result"]
        return float(found[0]["value"][1]) if found else float("nan")

    def names(self) -> set[str]:
        return set(self.ask("/label/__name__/values"))


@pytest.fixture(scope="module")
def watcher(stack: LocalSystem, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watcher]:
    port, tmp_path = free_port(), tmp_path_factory.mktemp("prometheus")
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
        process.wait(60)


def until(check: Any, *, within: float = MOST_WAIT_SECONDS) -> None:
    ends = time.monotonic() + within
    while True:
        try:
            if check():
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < ends, f"not within {within} s"
        time.sleep(0.3)


EMPTY_AT_PEACE = {"hippocamp_drained == 1"}
"""Panels that have nothing to show while all is well."""
STAGES = {"stage"}
PROMISED = {
    "jobs by state and site": ("hippocamp_jobs", {"state", "site"}),
    "jobs by reason": ("hippocamp_jobs_failed_total", {"code"}),
    "seconds from submit to end": ("hippocamp_job_seconds_bucket", {"state", "le"}),
    "seconds of preprocessing": ("hippocamp_preprocess_seconds_bucket", {"le"}),
    "seconds of its steps": ("hippocamp_preprocess_step_seconds_count", {"step"}),
    "seconds of inference": ("hippocamp_infer_seconds_bucket", {"le"}),
    "seconds of a webhook": ("hippocamp_delivery_seconds_bucket", {"le"}),
    "wait for preprocessing": ("hippocamp_preprocess_wait_seconds_bucket", {"le"}),
    "wait for inference": ("hippocamp_infer_wait_seconds_bucket", {"le"}),
    "depth, webhooks too": ("hippocamp_waiting", {"stage", "site"}),
    "oldest age, webhooks too": ("hippocamp_oldest_seconds", {"stage", "site"}),
    "webhooks for later": ("hippocamp_delayed", STAGES),
    "running": ("hippocamp_running", STAGES),
    "lease expiries": ("hippocamp_lease_expiries_total", STAGES),
    "redeliveries": ("hippocamp_redeliveries_total", STAGES),
    "fence rejections": ("hippocamp_fence_rejections_total", STAGES),
    "job.dead_lettered": ("hippocamp_dead_lettered_total", STAGES),
    "batch size": ("hippocamp_infer_batch_volumes_bucket", {"le"}),
    "latency of TorchServe": ("hippocamp_model_server_seconds_bucket", {"outcome", "le"}),
    "TorchServe's own": ("ts_inference_latency_microseconds", {"model_name"}),
    "breaker openings": ("hippocamp_breaker_openings_total", set()),
    "breakers open": ("hippocamp_breakers_open", set()),
    "cache hits": ("hippocamp_cache_hits_total", set()),
    "upload bytes": ("hippocamp_upload_bytes_total", set()),
    "refusals by code": ("hippocamp_refusals_total", {"code"}),
    "predictions": ("hippocamp_predictions_total", {"cdr"}),
    "out of distribution": ("hippocamp_out_of_distribution_bucket", {"le"}),
    "build": ("hippocamp_build_info", {"version", "pipeline", "model", "redis"}),
}
"""What an operator was promised -> the figure that tells it, and the labels by which it does."""


def queries() -> tuple[list[str], list[str]]:
    """Every expression of a rule or an alert, and of a panel."""
    groups = [
        group
        for file in ("recording.yml", "alerts.yml")
        for group in yaml.safe_load((RULES / file).read_text())["groups"]
    ]
    shown = [query for panel in chain(*panels().values()) for query in panel["queries"].values()]
    return [rule["expr"] for group in groups for rule in group["rules"]], shown


def wanted_names() -> set[str]:
    """Every metric that one of them asks for."""
    return set(NAME.findall(json.dumps(queries())))


def unanswered(watcher: Watcher) -> set[str]:
    """Panels that would be empty; an expression that makes no sense raises."""
    rules, shown = queries()
    for query in rules:
        watcher.ask("/query", query=query)
    return {query for query in shown if not watcher.ask("/query", query=query)["result"]}


def test_everything_that_is_watched_exists(
    stack: LocalSystem, service: Service, volume: Path, watcher: Watcher
) -> None:
    sent = 'sum(hippocamp_jobs_submitted_total{job="exporter"})'
    until(lambda: watcher.value(sent) >= 0)
    before = watcher.value(sent)
    with Receiver() as receiver:
        made = service.http.post("/v1/webhook-endpoints", json={"url": receiver.url})
        assert made.status_code == 201, made.text
        job_id = service.send_raw(volumes.nudged(volume, 21)).json()["id"]
        assert service.finished(job_id)["state"] == "succeeded"
        receiver.verified(made.json()["secret"])
        service.http.delete(f"/v1/webhook-endpoints/{made.json()['id']}")
    assert service.finished(service.send(volumes.nifti(volumes.sphere())).json()["id"])["state"] == "failed"
    assert service.send(b"a letter " * 50).status_code == 415
    until(lambda: watcher.value(sent) == before + 2)

    until(lambda: all(t["health"] == "up" for t in watcher.ask("/targets")["activeTargets"]))
    assert len(watcher.ask("/targets")["activeTargets"]) == 7
    rules = [rule for group in watcher.ask("/rules")["groups"] for rule in group["rules"]]
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] == "err"] == []
    until(lambda: wanted_names() <= watcher.names())
    for name, labels in PROMISED.values():
        (series, *_) = watcher.ask("/series", **{"match[]": name})
        assert labels <= set(series), name
    until(lambda: unanswered(watcher) <= EMPTY_AT_PEACE)
    firing = {a["labels"]["alertname"] for a in watcher.ask("/alerts")["alerts"] if a["state"] == "firing"}
    assert firing <= {"LeasesExpire"}, firing  # other tests kill workers

    both = (
        'sum(hippocamp_preprocess_seconds_count) + sum(hippocamp_preprocess_failures_total{outcome="failed"})'
    )
    assert watcher.value(both) <= watcher.value('sum(hippocamp_claims_total{stage="preprocess"})')


def test_what_prometheus_cannot_scrape_is_told_by_doctor(stack: LocalSystem, watcher: Watcher) -> None:
    url = str(watcher.http.base_url).removesuffix("/api/v1/")

    def found(what: str) -> list[checks.Finding]:
        return [one for one in prometheus_checks(url) if one.what == what]

    until(lambda: [one.verdict for one in found("scraped")] == [checks.Verdict.GOOD])
    (exporter,) = [item for item in stack.remembered() if item.name == "exporter"]
    exporter.stop(str(stack.settings.folder))
    until(lambda: "connection refused" in found("scraped")[0].found)
    (told,) = found("scraped")
    assert told.verdict is checks.Verdict.BAD
    assert told.found.startswith("exporter at")
    stack.restart("exporter")
    until(lambda: [one.verdict for one in found("scraped")] == [checks.Verdict.GOOD])
