"""The OpenAPI 3.1 document, made from the application's routes and the declarations on its views."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from flask import Flask
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from contracts.errors import (
    BadRequest,
    Forbidden,
    HippocampError,
    JobStoreUnavailable,
    QuotaExceeded,
    Unauthenticated,
)
from contracts.result import NOTICE
from gateway.access.scopes import needed
from gateway.http.errors import BodyTooLarge, UnsupportedMediaType
from gateway.http.operations import JSON, Operation, operation_of
from gateway.http.problems import MEDIA_TYPE, describe
from gateway.http.schemas import BATCH_ID, Problem

_REF = "#/components/schemas/{model}"
_UNIVERSAL: tuple[type[HippocampError], ...] = (HippocampError, JobStoreUnavailable)
_GUARD: tuple[type[HippocampError], ...] = (Unauthenticated, Forbidden, QuotaExceeded)
_BODY: tuple[type[HippocampError], ...] = (BadRequest, UnsupportedMediaType, BodyTooLarge)
_SECURITY = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key of your site (`hk_...`). A machine that serves only itself may need none.",
    }
}
_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_PATH_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "job_id": {"type": "string", "pattern": "^job_[0-9a-f]{32}$"},
    "batch_id": {"type": "string", "pattern": BATCH_ID},
    "endpoint_id": {"type": "string", "pattern": "^whe_[0-9a-f]{32}$"},
    "delivery_id": {"type": "string", "pattern": "^whd_"},
    "name": {"type": "string", "pattern": "^(hippocamp|[0-9a-f]{64})$"},
    "study_uid": {"type": "string", "pattern": "^[0-9.]{1,64}$"},
    "n": {"type": "integer", "minimum": 1, "maximum": 32},
    "plane": {"type": "string", "enum": ["axial", "coronal", "sagittal"]},
    "cut": {"type": "integer", "minimum": 1, "maximum": 154},
}


def describe_api(app: Flask) -> dict[str, Any]:
    """The whole document; every route with a declaration is in it."""
    schemas, definitions = _schemas(app)
    paths: dict[str, dict[str, Any]] = {}
    for rule, method, view, spec in _calls(app):
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        paths.setdefault(path, {})[method.lower()] = _operation(rule, view, spec, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hippocamp",
            "version": "1",
            "description": f"A T1-weighted head in, a stage of Alzheimer's disease out. {NOTICE}",
            "license": {"name": "See the repository"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": definitions, "securitySchemes": _SECURITY},
    }


def _calls(app: Flask) -> Iterator[tuple[Rule, str, Any, Operation]]:
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if spec := operation_of(view):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield rule, method, view, spec


def _schemas(app: Flask) -> tuple[dict[type[BaseModel], Any], dict[str, Any]]:
    taken: set[type[BaseModel]] = set()
    given: set[type[BaseModel]] = {Problem}
    for _, _, _, spec in _calls(app):
        taken |= {model for model in (spec.query, spec.body, *spec.uploads.values()) if model}
        given |= {model for model in spec.answers.values() if isinstance(model, type)}
    pairs = [(model, "validation") for model in taken] + [(model, "serialization") for model in given]
    pairs.sort(key=lambda pair: pair[0].__name__)
    found, top = models_json_schema(pairs, ref_template=_REF)  # type: ignore[arg-type]
    return {cast("type[BaseModel]", model): one for (model, _), one in found.items()}, top["$defs"]


def _operation(
    rule: Rule, view: Any, spec: Operation, schemas: Mapping[type[BaseModel], Any]
) -> dict[str, Any]:
    scope = needed(rule.endpoint)
    described: dict[str, Any] = {
        "operationId": rule.endpoint.replace(".", "_"),
        "summary": spec.summary,
        "description": inspect.getdoc(view) or "",
        "tags": [spec.tag],
        "parameters": [*_path(rule), *_query(spec), *_headers(spec)],
        "responses": _responses(spec, schemas, guarded=scope is not None),
        "security": [{"key": []}, {}] if scope else [],
    }
    if scope:
        described["x-scope"] = str(scope)
    bodies = {JSON: spec.body} if spec.body else spec.uploads
    if bodies:
        content = {media: {"schema": schemas[model]} if model else {} for media, model in bodies.items()}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _path(rule: Rule) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _PATH_SCHEMAS[name]}
        for name in sorted(rule.arguments)
    ]


def _query(spec: Operation) -> list[dict[str, Any]]:
    if not spec.query:
        return []
    schema = spec.query.model_json_schema(ref_template=_REF)
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": {k: v for k, v in one.items() if k != "title"},
        }
        for name, one in schema["properties"].items()
    ]


def _headers(spec: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "header",
            "required": False,
            "description": one.about,
            "schema": dict(one.schema),
        }
        for name, one in spec.headers.items()
    ]


def _responses(spec: Operation, schemas: Mapping[type[BaseModel], Any], *, guarded: bool) -> dict[str, Any]:
    answers: dict[str, Any] = {str(status): _answer(what, schemas) for status, what in spec.answers.items()}
    if spec.also:
        answers["200"]["content"] |= {media: {} for media in spec.also}
    by_status: dict[int, list[type[HippocampError]]] = {}
    own = (*spec.errors, *(_BODY if spec.body else ()), *((BadRequest,) if spec.query else ()))
    for kind in dict.fromkeys((*own, *_UNIVERSAL, *(_GUARD if guarded else ()))):
        by_status.setdefault(kind.status, []).append(kind)
    for status, kinds in sorted(by_status.items()):
        answer = answers.setdefault(str(status), {"description": "", "content": {}})
        answer["description"] += " ".join(f"`{kind.code}`: {kind.title}." for kind in kinds)
        answer["content"][MEDIA_TYPE] = {"schema": schemas[Problem], "examples": _examples(kinds)}
    return answers


def _answer(what: type[BaseModel] | str | None, schemas: Mapping[type[BaseModel], Any]) -> dict[str, Any]:
    if what is None:
        return {"description": "Done"}
    if isinstance(what, str):
        return {"description": "The file", "content": {what: {}}}
    about = (inspect.getdoc(what) or "").partition("\n")[0]
    return {"description": about, "content": {JSON: {"schema": schemas[what]}}}


def _examples(kinds: list[type[HippocampError]]) -> dict[str, Any]:
    return {
        kind.code: {"value": describe(kind, f"{kind.title}.", {}, trace=_TRACE).model_dump()}
        for kind in kinds
    }
