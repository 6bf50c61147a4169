"""The wire types of webhook endpoints and deliveries."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field, HttpUrl

from contracts.states import DeliveryState
from gateway.schemas import Wire


class EndpointRequest(Wire):
    """A receiver of webhooks to add."""

    url: HttpUrl = Field(description="http or https; its address is checked at every delivery")


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


class DeliveryQuery(Wire):
    """Paging of the delivery list."""

    limit: int = Field(default=50, ge=1, le=200)


class DeliveryList(Wire):
    """The site's latest deliveries, newest first."""

    deliveries: list[Delivery]
