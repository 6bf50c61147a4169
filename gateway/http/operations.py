"""One declaration per call: it validates what comes in, serialises what goes out, and documents both."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flask import Response, request
from pydantic import BaseModel, ValidationError

from contracts.covariates import NAMES
from contracts.errors import BadCovariate, BadRequest, HippocampError
from gateway.http.errors import UnsupportedMediaType

View = Callable[..., Any]
Model = TypeVar("Model", bound=BaseModel)
JSON = "application/json"


@dataclass(frozen=True)
class Header:
    """What a request header does, and the JSON schema of its values."""

    about: str
    schema: Mapping[str, object] = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True)
class Operation:
    """What a call takes and gives.

    answers: status -> wire type, media type of a non-JSON body, or None for no body.
    errors: what it raises besides what every call, and every call with such a query or body, may.
    query, body: types built from the request and passed to the view under these names.
    uploads: media type -> schema of a body the view reads as a stream itself.
    headers: what request headers do and take. also: other media types of the 200 answer, chosen by Accept.
    head: what the view refuses from a request's head alone, before its body has come; the bytes it may have.
    """

    summary: str
    tag: str
    answers: Mapping[int, type[BaseModel] | str | None]
    errors: tuple[type[HippocampError], ...] = ()
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    uploads: Mapping[str, type[BaseModel] | None] = field(default_factory=dict)
    headers: Mapping[str, Header] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    head: Callable[[], int] | None = None


@dataclass(frozen=True)
class ViewAnswer:
    """A body with a status and headers of its own."""

    body: BaseModel | None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def operation(spec: Operation) -> Callable[[View], View]:
    """Make a Flask view of a function that takes and returns wire types."""

    def wrap(view: View) -> View:
        @functools.wraps(view)
        def run(**path: Any) -> Response:
            if spec.query:
                path["query"] = validated(spec.query, request.args.to_dict())
            if spec.body:
                path["body"] = validated(spec.body, json_body())
            return _respond(view(**path), spec)

        run.__dict__["operation"] = spec
        return run

    return wrap


def operation_of(view: View) -> Operation | None:
    """The declaration of a view, None when it is no API call."""
    found = getattr(view, "operation", None)
    return found if isinstance(found, Operation) else None


def validated(model: type[Model], data: object) -> Model:
    """Data as `model`; BadRequest or BadCovariate naming every wrong field otherwise."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        fields = [".".join(map(str, e["loc"])) or "body" for e in error.errors()]
        wrong = "; ".join(f"{where}: {e['msg']}" for where, e in zip(fields, error.errors(), strict=True))
        if set(fields) <= set(NAMES):
            raise BadCovariate(wrong, field=fields[0]) from None
        raise BadRequest(wrong) from None


def json_body() -> object:
    """The body of a JSON call; UnsupportedMediaType or BadRequest when it is none."""
    if request.mimetype != JSON:
        raise UnsupportedMediaType(f"{request.mimetype or 'No content type'} is not taken; send {JSON}")
    try:
        return request.get_json()
    except RecursionError:
        raise BadRequest("The JSON body is nested too deeply; no call takes more than a few levels") from None


def _respond(given: Any, spec: Operation) -> Response:
    if isinstance(given, Response):
        return given
    answer = given if isinstance(given, ViewAnswer) else ViewAnswer(given)
    if spec.answers[answer.status] is not (type(answer.body) if answer.body else None):
        raise TypeError(f"{spec.summary}: {answer.status} is not declared with {type(answer.body).__name__}")
    body = answer.body.model_dump_json(by_alias=True) if answer.body else ""
    response = Response(body, answer.status, content_type=JSON)
    response.headers.extend(dict(answer.headers))
    return response
