"""Whether the process lives, whether work can be done, and figures for Prometheus."""

from __future__ import annotations

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST

from gateway.http.operations import Operation, ViewAnswer, operation
from gateway.http.schemas import Alive, Readiness
from gateway.monitoring.metrics import exposition
from gateway.monitoring.readiness import CHECKS, ReadyQuery, check
from gateway.resources import resources

blueprint = Blueprint("health", __name__)


@blueprint.get("/livez")
@operation(Operation("Is the process alive", "health", {200: Alive}))
def livez() -> Alive:
    """Asks no dependency, so a dead Redis never restarts the gateway."""
    return Alive()


@blueprint.get("/readyz")
@operation(Operation("Can work be done", "health", {200: Readiness, 503: Readiness}, query=ReadyQuery))
def readyz(query: ReadyQuery) -> ViewAnswer:
    """The truth per dependency, or per one of `only`; 503 when any of these is away."""
    found = check(resources(), query.only.split(",") if query.only else CHECKS)
    ready = all(one.ok for one in found.values())
    return ViewAnswer(Readiness(ready=ready, dependencies=found), 200 if ready else 503)


@blueprint.get("/metrics")
@operation(Operation("Figures for Prometheus", "health", {200: "text/plain"}))
def metrics() -> Response:
    """Counters of all gateway processes."""
    return Response(exposition(resources().disks), content_type=CONTENT_TYPE_LATEST)
