"""One volume is one trace, from its upload through TorchServe to its webhook, in every log line too."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

import pytest

from deploy.local.supervisor import LocalSystem
from tests.e2e import volumes
from tests.e2e.receiver import Receiver
from tests.e2e.service import Service
from tests.support.collector import Collector, Seen
from tests.support.waiting import MOST_WAIT_SECONDS

pytestmark = pytest.mark.e2e

CALLER = f"00-{'ab' * 16}-{'cd' * 8}-01"
WHOLE = {
    ("gateway", "POST /v1/jobs"): "",
    ("gateway", "store upload"): "POST /v1/jobs",
    ("gateway", "record"): "POST /v1/jobs",
    ("preprocess", "preprocess wait"): "POST /v1/jobs",
    ("preprocess", "preprocess"): "POST /v1/jobs",
    ("preprocess", "register"): "preprocess",
    ("infer", "infer wait"): "POST /v1/jobs",
    ("infer", "infer"): "POST /v1/jobs",
    ("infer", "model request"): "infer",
    ("model_server", "handle"): "model request",
    ("deliver", "deliver wait"): "POST /v1/jobs",
    ("deliver", "deliver"): "POST /v1/jobs",
    ("deliver", "POST webhook"): "deliver",
}
"""Service and span -> the span above it."""
STAGES = ("preprocess", "infer", "deliver")


def test_upload_to_webhook_is_one_trace(
    service: Service, stack: LocalSystem, volume: Path, collector: Collector
) -> None:
    with Receiver() as receiver:
        hook = service.http.post("/v1/webhook-endpoints", json={"url": receiver.url}).json()
        started = time.time()
        sent = service.http.post(
            "/v1/jobs", content=volumes.nudged(volume, 51), headers={"traceparent": CALLER}
        ).json()
        headers, _ = receiver.received.get(timeout=MOST_WAIT_SECONDS)
        service.http.delete(f"/v1/webhook-endpoints/{hook['id']}")
    assert sent["trace_id"] == "ab" * 16
    spans = collector.trace("ab" * 16, until=lambda found: _names(found) >= set(WHOLE))
    ids = {span.span_id: span for span in spans}
    for span in spans:
        if (above := WHOLE.get((span.service, span.name))) is not None:
            assert (ids[span.parent_id].name if above else span.parent_id) == (above or "cd" * 8), span
    by_name = {span.name: span for span in spans}
    assert headers["traceparent"] == f"00-{'ab' * 16}-{by_name['POST webhook'].span_id}-01"
    assert by_name["handle"].about["traceparent"] == f"00-{'ab' * 16}-{by_name['model request'].span_id}-01"
    assert {span.about["hippocamp.job"] for span in spans if span.name.startswith(STAGES)} == {sent["id"]}
    assert not any(span.failed for span in spans)
    _follow_each_other(by_name, started)


def _names(spans: list[Seen]) -> set[tuple[str, str]]:
    return {(span.service, span.name) for span in spans}


def _follow_each_other(by_name: dict[str, Seen], started: float) -> None:
    order = ["POST /v1/jobs", "preprocess wait", "preprocess", "infer wait", "infer", "deliver"]
    for before, after in itertools.pairwise(order):
        assert started - 1 <= by_name[before].started <= by_name[after].started + 0.005
    assert by_name["model request"].started <= by_name["handle"].started
    assert by_name["handle"].ended <= by_name["model request"].ended + 0.005


def test_the_lines_of_every_service_tell_the_story_of_a_job(
    service: Service, stack: LocalSystem, volume: Path
) -> None:
    with Receiver() as receiver:
        hook = service.http.post("/v1/webhook-endpoints", json={"url": receiver.url}).json()
        sent = service.send_raw(volumes.nudged(volume, 52)).json()
        receiver.received.get(timeout=MOST_WAIT_SECONDS)
        service.http.delete(f"/v1/webhook-endpoints/{hook['id']}")
    story = []
    for name in ("gateway", "preprocess", "infer", "deliver"):
        for line in stack.log(name).read_text().splitlines():
            if not line.startswith("{"):
                continue  # Celery's own word, on stdout, that it is stopping
            told = json.loads(line)
            if told.get("job") == sent["id"]:
                story.append(told)
    assert [(told["service"], told["stage"], told["event"]) for told in story] == [
        ("gateway", "preprocess", "job.accepted"),
        ("preprocess", "preprocess", "job.claimed"),
        ("preprocess", "preprocess", "job.prepared"),
        ("workers", "infer", "job.claimed"),
        ("workers", "infer", "job.succeeded"),
        ("workers", "deliver", "delivery.claimed"),
        ("workers", "deliver", "delivery.attempted"),
    ]
    for told in story:
        assert {"job", "site", "stage", "attempt", "fence", "trace_id", "service", "level", "at"} <= set(told)
        assert told["trace_id"] == sent["trace_id"]
        assert told["site"] == "north"
