"""The wire types of webhook endpoints and deliveries."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field, HttpUrl, field_validator

from contracts.states import DeliveryState
from gateway.http.schemas import DELIVERY_CURSOR, Wire


class EndpointRequest(Wire):
    """A receiver of webhooks to add."""

    url: HttpUrl = Field(
        description="http or https, without user and password; its address is checked at every delivery"
    )

    @field_validator("url")
    @classmethod
    def _without_password(cls, url: HttpUrl) -> HttpUrl:
        """It would be kept, listed and logged; deliveries are signed instead."""
        if url.username is not None or url.password is not None:
            raise ValueError("has a user or password in it; leave them out and check the signature instead")
        return url


class Endpoint(Wire):
    """A receiver of webhooks."""

    id: str = Field(pattern="^whe_[0-9a-f]{32}$")
    url: str
    disabled: str | None = Field(description="Why nothing is sent there any more; null while it is in force")
    created_at: datetime


class NewEndpoint(Endpoint):
    """A receiver with its secret, which is shown this once."""

    secret: str = Field(
        pattern="^whsec_", description="Signs deliveries (Standard Webhooks 1.0.0); not shown again"
    )


class EndpointList(Wire):
    """The site's receivers."""

    endpoints: list[Endpoint]


class Delivery(Wire):
    """One webhook owed or sent."""

    id: str
    endpoint_id: str
    job_id: str
    event: str = Field(examples=["job.succeeded"])
    state: DeliveryState
    attempt: int
    created_at: datetime
    next_attempt_at: datetime | None
    last_error: str | None
    response_status: int | None = Field(description="What the receiver last answered; null without an answer")


class DeliveryQuery(Wire):
    """Filter and paging of the delivery list."""

    state: DeliveryState | None = None
    after: str | None = Field(default=None, pattern=DELIVERY_CURSOR, description="`next` of the page before")
    limit: int = Field(default=50, ge=1, le=200)


class DeliveryList(Wire):
    """A page of deliveries, newest first. It may hold fewer than `limit` and still have a `next`."""

    deliveries: list[Delivery]
    next: str | None = Field(description="Cursor for `after`; null at the end")
