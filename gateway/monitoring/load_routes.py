"""Figures for the page that operators watch."""

from __future__ import annotations

from typing import cast

from flask import Blueprint

from gateway.access.auth import current_site, principal
from gateway.http.operations import Operation, operation
from gateway.monitoring.load import load
from gateway.monitoring.load_schemas import Load
from gateway.resources import resources
from jobstore import keys

_KEPT_MS = 1500
"""However many people watch, the job store is read once in so long."""

blueprint = Blueprint("load", __name__, url_prefix="/v1/load")


@blueprint.get("")
@operation(Operation("Read depth, age, throughput, workers and failing webhooks", "operations", {200: Load}))
def read() -> Load:
    """Of all sites for an operator (a machine without sites, or HIPPOCAMP_OPERATORS), else of one's own."""
    only = None if sees_all() else current_site()
    client, name = resources().client, keys.load(only or "*")  # no site is called "*"
    kept = cast("str | None", client.get(name))
    if kept:
        return Load.model_validate_json(kept)
    found = load(client, only=only)
    client.set(name, found.model_dump_json(), px=_KEPT_MS)
    return found


def sees_all() -> bool:
    """Whether the caller may see other sites' figures."""
    named = {name.strip() for name in resources().settings.operators.split(",")}
    return principal().who == "open" or current_site() in named
