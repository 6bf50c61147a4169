"""What `hippocamp-admin doctor` looks at: one function a check, each says what it found and what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

import httpx

from client.connection import Connection
from client.exchange import http_date


class Verdict(StrEnum):
    """How a check came out; only BAD makes the system unhealthy."""

    GOOD = "ok"
    ODD = "look"
    BAD = "BAD"
    SKIPPED = "skip"


@dataclass(frozen=True)
class Finding:
    """One check: what was found, and what to do about it ("" when nothing)."""

    what: str
    verdict: Verdict
    found: str
    advice: str = ""


_READY_ADVICE = {
    "line": "Is Redis up and HIPPOCAMP_REDIS_URL right? See its log; `redis-cli ping`; disk full?",
    "blobs": "Can the gateway write to HIPPOCAMP_BLOBS? Look at space, rights and the bucket's key.",
    "disk": "Free the disk or shorten retention: no volume is taken until there is room.",
    "audit": "Can the gateway write to HIPPOCAMP_AUDIT? Until then it shows and changes nothing (503).",
    "preprocess": "Start preprocessing workers (queue preprocess) and read their log.",
    "model_server": "Is TorchServe up at HIPPOCAMP_MODEL_SERVER, with the archive built and loaded?",
}

_UNKNOWN = "Serve the archive of the release, or name its digest in HIPPOCAMP_MODELS of the workers."


def service_checks(connection: Connection) -> Iterator[Finding]:
    """Everything that can be asked of the service through its address, as the caller's key sees it."""
    yield from _settings(connection)
    with httpx.Client(**connection.options()) as http:
        alive = _reach(http, "/livez")
        if isinstance(alive, str):
            advice = f"Nothing answers at {connection.address}; see HIPPOCAMP_URL"
            if "certificate" in alive.lower():
                advice = "Renew the certificate; of an authority of your own: SSL_CERT_FILE"
            yield Finding("service", Verdict.BAD, alive, advice)
            return
        yield Finding("service", Verdict.GOOD, f"{connection.address} answers")
        yield _clock(alive)
        yield from _ready(http)
        yield from _key(http)
        yield from _drained(http)
        yield from _webhooks(http)


def _settings(connection: Connection) -> Iterator[Finding]:
    try:
        yield Finding("client", Verdict.GOOD, f"version {version('hippocamp')}")
    except PackageNotFoundError:
        yield Finding("client", Verdict.ODD, "not installed as a package", "pip install -e '.[client]'")
    address = urlsplit(connection.address)
    plain = address.scheme == "http" and address.hostname not in {"127.0.0.1", "localhost", "::1"}
    if plain and (connection.key or os.environ.get("HIPPOCAMP_API_KEY")):
        yield Finding("encryption", Verdict.ODD, "the key travels without TLS", "Use the https:// address")
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        if value := os.environ.get(name) or os.environ.get(name.lower()):
            shown = urlsplit(value).hostname or "set"
            yield Finding("proxy", Verdict.GOOD, f"{name} sends requests through {shown}")


def _reach(http: httpx.Client, path: str) -> httpx.Response | str:
    try:
        return http.get(path)
    except httpx.TransportError as error:
        return f"{type(error).__name__}: {error}"


def _clock(answer: httpx.Response) -> Finding:
    theirs = http_date(answer.headers.get("date", ""))
    if theirs is None:
        return Finding("clock", Verdict.SKIPPED, "the service does not tell its time")
    off = abs((datetime.now(tz=UTC) - theirs).total_seconds())
    if off > 60:
        return Finding(
            "clock", Verdict.ODD, f"{off:.0f} s apart", "Set both clocks (NTP): webhooks expire in 300 s"
        )
    return Finding("clock", Verdict.GOOD, f"{off:.0f} s apart")


def _ready(http: httpx.Client) -> Iterator[Finding]:
    answer = _reach(http, "/readyz")
    told = {} if isinstance(answer, str) else json_of(answer)
    if "dependencies" not in told:
        found = (
            answer if isinstance(answer, str) else f"/readyz answers {answer.status_code}, and not as ours"
        )
        yield Finding("readiness", Verdict.BAD, found, "Is this address a Hippocamp gateway?")
        return
    for name, one in told["dependencies"].items():
        age = f", {one['age_seconds']:.0f} s ago" if one.get("age_seconds") is not None else ""
        verdict = Verdict.GOOD if one["ok"] else Verdict.BAD
        yield Finding(name, verdict, one["detail"] + age, advice(name, one))


def advice(name: str, found: Mapping[str, Any]) -> str:
    """What to do about a dependency as /readyz tells it, "" when it is well."""
    if found["ok"]:
        return ""
    unknown = "not known here" in found["detail"]
    return _UNKNOWN if unknown else _READY_ADVICE.get(name, "See its log")


def json_of(answer: httpx.Response) -> dict[str, Any]:
    """{} for what is no JSON object."""
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _key(http: httpx.Client) -> Iterator[Finding]:
    answer = _reach(http, "/v1/jobs?limit=1")
    status = 0 if isinstance(answer, str) else answer.status_code
    if status == 200:
        yield Finding("key", Verdict.GOOD, "may read your site's jobs")
    elif status in {401, 403}:
        yield Finding(
            "key", Verdict.BAD, f"HTTP {status}", "Set HIPPOCAMP_API_KEY; ask for a key with the scope read"
        )
    else:
        yield Finding(
            "key", Verdict.BAD, f"listing jobs answers {status or answer}", "Read the gateway's log"
        )


def _drained(http: httpx.Client) -> Iterator[Finding]:
    """What takes no work, as the page for operators knows it; nothing for a key that may not see it."""
    answer = _reach(http, "/v1/load")
    told = {} if isinstance(answer, str) else json_of(answer)
    for scope in told.get("drained", ()):
        undo = f"hippocamp-admin drain --undo {scope.removeprefix('stage:')}"
        yield Finding("drained", Verdict.ODD, f"{scope} claims nothing", undo)


def _webhooks(http: httpx.Client) -> Iterator[Finding]:
    answer = _reach(http, "/v1/webhook-endpoints")
    if isinstance(answer, str) or "endpoints" not in json_of(answer):
        yield Finding("webhooks", Verdict.SKIPPED, "this key may not list endpoints")
        return
    endpoints = answer.json()["endpoints"]
    for one in endpoints:
        if one["disabled"]:
            advice = "Mend the receiver, then add the endpoint again"
            yield Finding("webhooks", Verdict.ODD, f"{one['id']} is off: {one['disabled']}", advice)
    recent = http.get("/v1/webhook-deliveries", params={"limit": 200}).json()["deliveries"]
    failed = sum(one["state"] == "failed" for one in recent)
    late = sum(one["state"] in {"pending", "delivering"} and one["attempt"] > 1 for one in recent)
    verdict = Verdict.ODD if failed or late else Verdict.GOOD
    advice = (
        "See /v1/webhook-deliveries for what the receiver said; replay them there" if failed or late else ""
    )
    yield Finding(
        "webhooks", verdict, f"{len(endpoints)} endpoints; {failed} failed, {late} repeated", advice
    )
