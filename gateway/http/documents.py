"""The OpenAPI document."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flask import Blueprint, Flask, Response, current_app, json

from gateway.http.openapi import describe_api

blueprint = Blueprint("documents", __name__)


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """OpenAPI 3.1, made from the declarations that validate and serialise."""
    return Response(json.dumps(_document(current_app._get_current_object())), content_type="application/json")  # type: ignore[attr-defined]


@lru_cache(maxsize=4)
def _document(app: Flask) -> dict[str, Any]:
    return describe_api(app)
