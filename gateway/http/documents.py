"""The OpenAPI document."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, json

from gateway.http.openapi import describe_api

blueprint = Blueprint("documents", __name__)
_KEY = "hippocamp.openapi"


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """OpenAPI 3.1, made once from the declarations that validate and serialise."""
    made = current_app.extensions
    if _KEY not in made:
        made[_KEY] = json.dumps(describe_api(current_app))
    return Response(made[_KEY], content_type="application/json")
