"""One webhook of the deliver stage: claim a delivery, sign it, send it, note what the receiver said."""

from __future__ import annotations

import ipaddress
import json
import logging
import socket
import ssl
import time
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime

import httpcore
import redis

from contracts.errors import DeliveryFailed
from contracts.job import Claim
from contracts.states import MOST_ATTEMPTS, Stage
from jobstore import keys, sites
from jobstore.failure_policy import AWAY_SECONDS
from jobstore.leases import held
from jobstore.store import LeaseLost
from jobstore.webhook_endpoints import Endpoint, disable, find
from runtime import tracing
from runtime.redis_failures import about
from runtime.system_errors import of_system
from runtime.tracing import Span
from workers.context import WorkerContext
from workers.delivery.outgoing import post
from workers.delivery.signature import sign
from workers.delivery.targets import TargetRefused
from workers.metrics import record_delivery
from workers.settings import Network

_log = logging.getLogger("hippocamp.deliver")

MINUTE, HOUR = 60, 3600
SCHEDULE = (5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
"""Seconds from a failed attempt to the next; ten attempts within about 75 hours."""

FIRST_REST, LONGEST_REST = 5, 600
"""Seconds for which nothing is sent to an endpoint that just failed; doubled by every further failure."""


class _Refused(Exception):  # noqa: N818  named for what happened, as in contracts.errors
    """The receiver answered with something else than 2xx."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


def work_once(place: WorkerContext) -> Claim | None:
    """Make one attempt at one delivery; its claim, or None when none was due."""
    lease = place.settings.lease_seconds
    found = place.job_store.claim(Stage.DELIVER, place.name, lease_seconds=lease)
    if not found:
        return None
    claim, started, outcome = found[0], time.monotonic(), "lost"
    most = place.settings.webhook_seconds + 30
    span = tracing.work(claim)
    _log.info("delivery.claimed", extra={**claim.context, "worker": place.name})
    try:
        with held(place.job_store, [claim], lease_seconds=lease, most_seconds=most):
            outcome = _attempt(place, claim, span)
    except LeaseLost:
        _log.info("claim.lost", extra=claim.context)
    except redis.RedisError as error:
        _log.warning("claim.left", extra={**claim.context, **about(error)})
    finally:
        span.note(outcome=outcome)
        if outcome != "delivered":
            span.fail(outcome)
        span.end()
    record_delivery(time.monotonic() - started, outcome)
    _log.info("delivery.attempted", extra={**claim.context, "outcome": outcome})
    return claim


def _attempt(place: WorkerContext, claim: Claim, span: Span) -> str:
    endpoint = find(place.redis, claim.record["site"], claim.record["endpoint_id"])
    if endpoint is None or endpoint.disabled:
        place.job_store.fail(claim, DeliveryFailed("The endpoint was removed or disabled"))
        return "failed"
    rest = place.redis.pttl(_rest_key(endpoint))
    if rest > 0:
        place.job_store.release(claim, "endpoint rests", delay_seconds=rest / 1000, counts=False)
        return "deferred"
    try:
        status = _send(place, claim, endpoint, span)
    except (_Refused, TargetRefused, OSError, ValueError, *_NO_ANSWER) as error:
        if any(one and of_system(one) for one in (error, error.__context__)):
            _log.warning("delivery.no_resources", extra={**claim.context, **about(error)})
            place.job_store.release(claim, "no resources", delay_seconds=AWAY_SECONDS, counts=False)
            return "deferred"
        return _after_failure(place, claim, endpoint, error)
    place.redis.delete(_rest_key(endpoint), _failures_key(endpoint))
    place.job_store.succeed(claim, {"response_status": status})
    return "delivered"


_NO_ANSWER = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)


def _send(place: WorkerContext, claim: Claim, endpoint: Endpoint, span: Span) -> int:
    """Post it; the status, or an exception for everything but 2xx."""
    body, now = body_of(claim.record), time.time()
    signed = sign(body, message_id=claim.id, timestamp=int(now), keys=endpoint.keys(int(now * 1000)))
    headers = {"content-type": "application/json", **signed}
    with span.child("POST webhook", kind="client") as sending:
        if sending.is_kept:
            headers["traceparent"] = sending.traceparent
        status = post(
            endpoint.url,
            body,
            headers=headers,
            allow=(*place.settings.webhook_allow, *_of_site(place, endpoint.site)),
            seconds=place.settings.webhook_seconds,
        )
        sending.note(**{"http.response.status_code": status})
    if not 200 <= status < 300:
        raise _Refused(status)
    return status


def _of_site(place: WorkerContext, name: str) -> tuple[Network, ...]:
    """Networks that this site's webhooks may reach although they are not public."""
    site = sites.find(place.redis, name)
    return tuple(ipaddress.ip_network(text) for text in site.webhook_allow) if site else ()


def body_of(record: Mapping[str, str]) -> bytes:
    """The thin payload: what happened to which job, and when; the same bytes at every attempt."""
    at = datetime.fromtimestamp(int(record["created_ms"]) / 1000, tz=UTC)
    event = record["event"]
    data = {"job_id": record["job_id"], "state": event.removeprefix("job.")}
    return json.dumps(
        {"type": event, "timestamp": at.isoformat(timespec="milliseconds"), "data": data}
    ).encode()


def _after_failure(place: WorkerContext, claim: Claim, endpoint: Endpoint, error: Exception) -> str:
    status = error.status if isinstance(error, _Refused) else 0
    note = told_to_site(error)
    told = {"response_status": status}
    about_it = {"status": status, "error": f"{type(error).__name__}: {error}"}
    _log.info("delivery.refused", extra={**claim.context, **about_it})
    if status == 410:
        disable(place.redis, endpoint, "The receiver answered 410 Gone")
        place.job_store.fail(
            claim, DeliveryFailed("The receiver answered 410 Gone; the endpoint is disabled"), told
        )
        return "disabled"
    if claim.attempt >= MOST_ATTEMPTS[Stage.DELIVER]:
        why = f"No attempt of {claim.attempt} succeeded; the last: {note}"
        place.job_store.fail(claim, DeliveryFailed(why), told)
        return "failed"
    _rest(place.redis, endpoint)
    pause = pause_after(claim.attempt, claim.id)
    place.job_store.release(claim, note, delay_seconds=pause, fields=told)
    return "retried"


def told_to_site(error: Exception) -> str:
    """What the site may know of a failed attempt: our network's addresses and libraries are not among it."""
    if isinstance(error, _Refused):
        return str(error)
    return next((text for kind, text in _TOLD if isinstance(error, kind)), "The delivery failed")


_TOLD: tuple[tuple[type[Exception], str], ...] = (
    (TargetRefused, "The name leads to an address that is not public; an operator can allow its network"),
    (socket.gaierror, "The name of the receiver is not known; look at the endpoint's address"),
    (httpcore.TimeoutException, "The receiver did not answer in time"),
    (httpcore.UnsupportedProtocol, "The endpoint's address is neither http nor https"),
    (httpcore.ProtocolError, "The receiver's answer is no HTTP"),
    (ssl.SSLError, "The receiver's certificate was not accepted, or it speaks no TLS"),
    (httpcore.NetworkError, "The receiver could not be reached, or closed the connection"),
    (OSError, "The receiver could not be reached, or closed the connection"),
    (ValueError, "The endpoint's address makes no sense"),
)


def pause_after(attempt: int, delivery_id: str) -> float:
    """Seconds until the attempt after this one, up to a tenth longer so that they do not come in waves."""
    return SCHEDULE[attempt - 1] * (1 + zlib.crc32(delivery_id.encode()) % 1000 / 10_000)


def _rest(client: redis.Redis, endpoint: Endpoint) -> None:
    """Leave a failing endpoint alone for a while, so that it cannot hold up everybody's deliveries."""
    failures = client.incr(_failures_key(endpoint))
    client.expire(_failures_key(endpoint), 2 * HOUR)
    client.set(_rest_key(endpoint), 1, ex=min(LONGEST_REST, FIRST_REST * 2 ** min(failures - 1, 10)))


def _rest_key(endpoint: Endpoint) -> str:
    return keys.resting(endpoint.id)


def _failures_key(endpoint: Endpoint) -> str:
    return keys.failures(endpoint.id)
