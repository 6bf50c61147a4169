"""A site's webhook endpoints and what was sent to them: the outbox in the open."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, request

from contracts.errors import WrongState
from contracts.job import Job as Record
from contracts.states import Stage
from gateway.access.auth import current_site
from gateway.http.errors import DeliveryNotFound, EndpointNotFound, KeyReused, TooManyEndpoints
from gateway.http.operations import Header, Operation, ViewAnswer, operation
from gateway.jobs import listing
from gateway.resources import resources
from gateway.uploads.idempotency import HEADER, KEY, checked
from gateway.webhooks.schemas import (
    Delivery,
    DeliveryList,
    DeliveryQuery,
    Endpoint,
    EndpointList,
    EndpointRequest,
    NewEndpoint,
)
from jobstore import clock, keys, webhook_endpoints
from jobstore.wakeups import wake

blueprint = Blueprint("webhooks", __name__, url_prefix="/v1")


@blueprint.post("/webhook-endpoints")
@operation(
    Operation(
        "Add a webhook endpoint",
        "webhooks",
        {201: NewEndpoint},
        body=EndpointRequest,
        headers={
            HEADER: Header(
                "a request repeated with the same key adds no second endpoint",
                {"type": "string", "pattern": KEY},
            )
        },
        errors=(KeyReused, TooManyEndpoints),
    )
)
def add(body: EndpointRequest) -> ViewAnswer:
    """Every job that ends from now on is announced there; keep the secret, it is shown only now.

    Two endpoints with one address hear of every job twice: repeat a call whose answer was lost with its key.
    """
    client, token = resources().client, checked(request.headers.get(HEADER))
    made = webhook_endpoints.new_endpoint(
        current_site(), str(body.url), now_ms=clock.now_ms(client), token=token
    )
    kept = webhook_endpoints.add(client, made)
    if kept is None:
        raise TooManyEndpoints(
            f"The site has {webhook_endpoints.MOST_ENDPOINTS} webhook endpoints; "
            "remove one that is no longer needed"
        )
    if kept.url != made.url:
        raise KeyReused(f"This {HEADER} was used with another address; take a new key", field="url")
    return ViewAnswer(_with_secret(kept), 201)


@blueprint.get("/webhook-endpoints")
@operation(Operation("List webhook endpoints", "webhooks", {200: EndpointList}))
def index() -> EndpointList:
    """The site's endpoints, without their secrets."""
    found = webhook_endpoints.list_all(resources().client, current_site())
    return EndpointList(endpoints=[Endpoint.model_validate(_shown(one)) for one in found])


@blueprint.delete("/webhook-endpoints/<endpoint_id>")
@operation(Operation("Remove a webhook endpoint", "webhooks", {204: None}, errors=(EndpointNotFound,)))
def remove(endpoint_id: str) -> ViewAnswer:
    """Nothing is announced there any more; deliveries that are owed end as failed."""
    if not webhook_endpoints.remove(resources().client, current_site(), endpoint_id):
        raise EndpointNotFound(f"No webhook endpoint {endpoint_id}")
    return ViewAnswer(None, 204)


@blueprint.post("/webhook-endpoints/<endpoint_id>/rotate-secret")
@operation(Operation("Rotate a webhook secret", "webhooks", {200: NewEndpoint}, errors=(EndpointNotFound,)))
def rotate(endpoint_id: str) -> NewEndpoint:
    """For a day, deliveries carry the signatures of the new and of the old secret."""
    client = resources().client
    now = clock.now_ms(client)
    rotated = webhook_endpoints.change(client, current_site(), endpoint_id, lambda found: found.rotated(now))
    if rotated is None:
        raise EndpointNotFound(f"No webhook endpoint {endpoint_id}")
    return _with_secret(rotated)


@blueprint.post("/webhook-endpoints/<endpoint_id>/enable")
@operation(Operation("Enable a webhook endpoint", "webhooks", {200: Endpoint}, errors=(EndpointNotFound,)))
def enable(endpoint_id: str) -> Endpoint:
    """Jobs that end from now on are announced there again, after a 410 had disabled it; its secret stays."""
    enabled = webhook_endpoints.enable(resources().client, current_site(), endpoint_id)
    if enabled is None:
        raise EndpointNotFound(f"No webhook endpoint {endpoint_id}")
    return Endpoint.model_validate(_shown(enabled))


@blueprint.get("/webhook-deliveries")
@operation(Operation("List webhook deliveries", "webhooks", {200: DeliveryList}, query=DeliveryQuery))
def deliveries(query: DeliveryQuery) -> DeliveryList:
    """One page of deliveries with their attempts and last error; follow `next` until it is null."""
    kept_in = keys.deliveries(current_site())
    found, following = listing.page(
        resources().client,
        kept_in,
        wanted=listing.in_state(query.state),
        after=query.after,
        limit=query.limit,
    )
    return DeliveryList(deliveries=[_delivery(one) for one in found], next=following)


@blueprint.post("/webhook-deliveries/<delivery_id>/replay")
@operation(
    Operation("Send a delivery again", "webhooks", {202: Delivery}, errors=(DeliveryNotFound, WrongState))
)
def replay(delivery_id: str) -> ViewAnswer:
    """Queue a delivery that has ended once more, with all its attempts."""
    to = resources()
    fields = to.job_store.record(delivery_id)
    if fields.get("kind") != "delivery" or fields["site"] != current_site():
        raise DeliveryNotFound(f"No webhook delivery {delivery_id}")
    if not to.job_store.replay(delivery_id):
        raise WrongState(f"The delivery is {fields['state']}; only one that has ended can be replayed")
    wake(to.celery, Stage.DELIVER)
    return ViewAnswer(_delivery(Record(to.job_store.record(delivery_id))), 202)


def _shown(stored: webhook_endpoints.Endpoint) -> dict[str, Any]:
    return {
        "id": stored.id,
        "url": stored.shown_url,
        "disabled": stored.disabled or None,
        "created_at": datetime.fromtimestamp(stored.created_ms / 1000, tz=UTC),
    }


def _with_secret(stored: webhook_endpoints.Endpoint) -> NewEndpoint:
    return NewEndpoint.model_validate(_shown(stored) | {"secret": stored.secrets[0].key})


def _delivery(record: Record) -> Delivery:
    names = ("id", "endpoint_id", "job_id", "event", "state", "attempt")
    return Delivery.model_validate(
        {name: record.text(name) for name in names}
        | {
            "created_at": record.time("created_ms"),
            "next_attempt_at": record.time("not_before_ms") if record.text("state") == "pending" else None,
            "response_status": int(record.text("response_status") or 0) or None,
            "last_error": record.text("last_error") or record.text("error_detail") or None,
        }
    )
