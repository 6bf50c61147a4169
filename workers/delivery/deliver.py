"""One webhook of the deliver stage: claim a delivery, sign it, send it, note what the receiver said."""

from __future__ import annotations

import ipaddress
import json
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import redis
from opentelemetry.trace import Span, SpanKind

from contracts.errors import DeliveryFailed
from contracts.job import Claim
from contracts.states import MOST_ATTEMPTS, Stage
from jobstore import sites
from jobstore.failure_policy import AWAY_SECONDS
from jobstore.leases import held
from jobstore.store import LeaseLost
from jobstore.webhook_endpoints import Endpoint, disable, find
from runtime import tracing
from runtime.redis_failures import about
from runtime.system_errors import of_system
from workers.context import WorkerContext
from workers.delivery.endpoint_rest import begin_rest, end_rest, pause_after, rest_left
from workers.delivery.failures import DELIVERY_FAILURES, ReceiverRefused, reason_for_site
from workers.delivery.outgoing import post
from workers.delivery.signature import sign
from workers.metrics import record_delivery
from workers.settings import IpNetwork

_log = logging.getLogger("hippocamp.deliver")


def work_once(context: WorkerContext) -> Claim | None:
    """Make one attempt at one delivery; its claim, or None when none was due."""
    lease = context.settings.lease_seconds
    found = context.job_store.claim(Stage.DELIVER, context.name, lease_seconds=lease)
    if not found:
        return None
    claim, started, outcome = found[0], time.monotonic(), "lost"
    most = context.settings.webhook_seconds + 30
    span = tracing.work(claim)
    _log.info("delivery.claimed", extra={**claim.context, "worker": context.name})
    try:
        with held(context.job_store, [claim], lease_seconds=lease, most_seconds=most):
            outcome = _attempt(context, claim, span)
    except LeaseLost:
        _log.info("claim.lost", extra=claim.context)
    except redis.RedisError as error:
        _log.warning("claim.left", extra={**claim.context, **about(error)})
    finally:
        span.set_attribute("outcome", outcome)
        if outcome != "delivered":
            tracing.fail(span, outcome)
        span.end()
    record_delivery(time.monotonic() - started, outcome)
    _log.info("delivery.attempted", extra={**claim.context, "outcome": outcome})
    return claim


def _attempt(context: WorkerContext, claim: Claim, span: Span) -> str:
    """What became of it, written to the job store.

    1. The endpoint is gone or disabled: failed. It rests after failures: deferred, uncounted.
    2. The receiver took it: delivered.
    3. Our own machine lacks resources: deferred, uncounted.
    4. The attempt failed: disabled, failed or retried.
    """
    endpoint = find(context.redis, claim.record["site"], claim.record["endpoint_id"])
    if endpoint is None or endpoint.disabled:
        context.job_store.fail(claim, DeliveryFailed("The endpoint was removed or disabled"))
        return "failed"
    if (rest := rest_left(context.redis, endpoint)) > 0:
        context.job_store.release(claim, "endpoint rests", delay_seconds=rest, counts=False)
        return "deferred"
    try:
        status = _send(context, claim, endpoint, span)
    except DELIVERY_FAILURES as error:
        if any(one and of_system(one) for one in (error, error.__context__)):
            _log.warning("delivery.no_resources", extra={**claim.context, **about(error)})
            context.job_store.release(claim, "no resources", delay_seconds=AWAY_SECONDS, counts=False)
            return "deferred"
        return _after_failure(context, claim, endpoint, error)
    end_rest(context.redis, endpoint)
    context.job_store.succeed(claim, {"response_status": status})
    return "delivered"


def _send(context: WorkerContext, claim: Claim, endpoint: Endpoint, span: Span) -> int:
    """Post it; the status, or an exception for everything but 2xx."""
    body, now = body_of(claim.record), time.time()
    signed = sign(body, message_id=claim.id, timestamp=int(now), keys=endpoint.keys(int(now * 1000)))
    headers = {"content-type": "application/json", **signed}
    with tracing.part(span, "POST webhook", service=Stage.DELIVER, kind=SpanKind.CLIENT) as sending:
        if sending.is_recording():
            headers["traceparent"] = tracing.traceparent(sending)
        status = post(
            endpoint.url,
            body,
            headers=headers,
            allow=(*context.settings.webhook_allow, *_networks_of_site(context, endpoint.site)),
            seconds=context.settings.webhook_seconds,
        )
        sending.set_attribute("http.response.status_code", status)
    if not 200 <= status < 300:
        raise ReceiverRefused(status)
    return status


def _networks_of_site(context: WorkerContext, name: str) -> tuple[IpNetwork, ...]:
    """Networks that this site's webhooks may reach although they are not public."""
    site = sites.find(context.redis, name)
    return tuple(ipaddress.ip_network(text) for text in site.webhook_allow) if site else ()


def body_of(record: Mapping[str, str]) -> bytes:
    """The thin payload: what happened to which job, and when; the same bytes at every attempt."""
    at = datetime.fromtimestamp(int(record["created_ms"]) / 1000, tz=UTC)
    event = record["event"]
    data = {"job_id": record["job_id"], "state": event.removeprefix("job.")}
    return json.dumps(
        {"type": event, "timestamp": at.isoformat(timespec="milliseconds"), "data": data}
    ).encode()


def _after_failure(context: WorkerContext, claim: Claim, endpoint: Endpoint, error: Exception) -> str:
    status = error.status if isinstance(error, ReceiverRefused) else 0
    reason, fields = reason_for_site(error), {"response_status": status}
    details = {"status": status, "error": f"{type(error).__name__}: {error}"}
    _log.info("delivery.refused", extra={**claim.context, **details})
    if status == 410:
        disable(context.redis, endpoint, "The receiver answered 410 Gone")
        why = "The receiver answered 410 Gone; the endpoint is disabled"
        context.job_store.fail(claim, DeliveryFailed(why), fields)
        return "disabled"
    if claim.attempt >= MOST_ATTEMPTS[Stage.DELIVER]:
        why = f"No attempt of {claim.attempt} succeeded; the last: {reason}"
        context.job_store.fail(claim, DeliveryFailed(why), fields)
        return "failed"
    begin_rest(context.redis, endpoint)
    pause = pause_after(claim.attempt, claim.id)
    context.job_store.release(claim, reason, delay_seconds=pause, fields=fields)
    return "retried"
