"""What each route asks of its caller's key; a route that is not listed here asks for `admin`."""

from __future__ import annotations

from collections.abc import Mapping

from jobstore.api_keys import Scope

PUBLIC = frozenset(
    {
        "documents.openapi",
        "health.livez",
        "health.readyz",
        "health.metrics",  # names no site and no id; keep the port inside the network all the same
        "login.callback",
        "login.enter",
        "login.form",
        "login.provider",
        "pages.api",
        "pages.favicon",
        "pages.problem",
        "pages.problems",
        "static",
    }
)
"""Routes that tell nothing about any site."""

SCOPES: Mapping[str, Scope] = {
    "batches.create": Scope.SUBMIT,
    "batches.read": Scope.READ,
    "events.stream": Scope.READ,
    "dicomweb.store": Scope.SUBMIT,
    "dicomweb.store_study": Scope.SUBMIT,
    "inbox.close": Scope.SUBMIT,
    "inbox.drop": Scope.ADMIN,
    "inbox.index": Scope.READ,
    "inbox.jobs": Scope.READ,
    "jobs.submit": Scope.SUBMIT,
    "jobs.cancel": Scope.SUBMIT,
    "jobs.index": Scope.READ,
    "jobs.read": Scope.READ,
    "login.leave": Scope.READ,
    "models.card": Scope.READ,
    "models.index": Scope.READ,
    "pages.home": Scope.READ,
    "pages.job": Scope.READ,
    "pages.model": Scope.READ,
    "pages.other_model": Scope.READ,
    "pages.operations": Scope.ADMIN,
    "load.read": Scope.ADMIN,
    "planes.brain": Scope.READ,
    "planes.draw": Scope.READ,
    "planes.index": Scope.READ,
    "planes.outline": Scope.READ,
    "pictures.draw": Scope.READ,
    "pictures.explanation": Scope.READ,
    "pictures.overview": Scope.READ,
    "pictures.quality": Scope.READ,
    "pictures.slices": Scope.READ,
    "results.read": Scope.READ,
    "erase.erase": Scope.ADMIN,
    "uploads.create": Scope.SUBMIT,
    "webhooks.add": Scope.ADMIN,
    "webhooks.deliveries": Scope.ADMIN,
    "webhooks.index": Scope.ADMIN,
    "webhooks.remove": Scope.ADMIN,
    "webhooks.replay": Scope.ADMIN,
    "webhooks.enable": Scope.ADMIN,
    "webhooks.rotate": Scope.ADMIN,
}
"""Endpoint -> the scope its caller needs."""


def needed(endpoint: str) -> Scope | None:
    """The scope of a route, None for a public one."""
    return None if endpoint in PUBLIC else SCOPES.get(endpoint, Scope.ADMIN)
