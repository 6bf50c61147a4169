"""The OpenAPI document as plain rows for a page that people read; it needs no script and no other host."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class ApiRow:
    """A parameter or a member: its name, where it stands, its type, what it means."""

    name: str
    place: str
    kind: str
    about: str
    required: bool = False


@dataclass(frozen=True)
class ApiAnswer:
    """A status, what it means, and the media types and schemas of its body.

    about: pieces of text, every second one a name in the code.
    """

    status: str
    about: tuple[str, ...]
    bodies: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ApiCall:
    """One method of one path. anchor: its place on the page."""

    method: str
    path: str
    anchor: str
    summary: str
    about: str
    parameters: tuple[ApiRow, ...]
    bodies: tuple[tuple[str, str], ...]
    answers: tuple[ApiAnswer, ...]


def calls_by_tag(document: Schema) -> dict[str, list[ApiCall]]:
    """Every call of the document, in its order, under its first tag."""
    found: dict[str, list[ApiCall]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            found.setdefault(operation["tags"][0], []).append(_call(path, method, operation))
    return found


def members_by_schema(document: Schema) -> dict[str, tuple[str, list[ApiRow]]]:
    """Name of every schema -> (what it is, its members; none for a list of words)."""
    schemas = document["components"]["schemas"]
    return {name: (_first(schema), list(_members(schema))) for name, schema in sorted(schemas.items())}


def _call(path: str, method: str, operation: Schema) -> ApiCall:
    return ApiCall(
        method=method.upper(),
        path=path,
        anchor=operation["operationId"],
        summary=operation["summary"],
        about=_first(operation),
        parameters=tuple(_parameter(one) for one in operation.get("parameters", [])),
        bodies=_bodies(operation.get("requestBody", {})),
        answers=tuple(_answer(status, one) for status, one in sorted(operation["responses"].items())),
    )


def _parameter(parameter: Schema) -> ApiRow:
    return ApiRow(
        parameter["name"],
        parameter["in"],
        kind_of(parameter["schema"]),
        parameter.get("description") or parameter["schema"].get("description", ""),
        bool(parameter.get("required")),
    )


def _answer(status: str, answer: Schema) -> ApiAnswer:
    return ApiAnswer(status, tuple(answer["description"].split("`")), _bodies(answer))


def _bodies(holder: Schema) -> tuple[tuple[str, str], ...]:
    content = holder.get("content", {})
    return tuple((media, kind_of(one.get("schema", {}))) for media, one in content.items())


def _members(schema: Schema) -> Iterator[ApiRow]:
    required = schema.get("required", ())
    for name, member in schema.get("properties", {}).items():
        yield ApiRow(name, "", kind_of(member), member.get("description", ""), name in required)


def kind_of(schema: Schema) -> str:
    """A type in words; the name of a schema begins with a capital, so that the page can link it."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(map(kind_of, choices)))
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"list of {kind_of(schema.get('items', {}))}"
    return _bounded(schema)


def _bounded(schema: Schema) -> str:
    kind = str(schema.get("format") or schema.get("type") or "any")
    if "minimum" in schema and "maximum" in schema:
        return f"{kind}, {schema['minimum']} to {schema['maximum']}"
    return kind


def _first(holder: Schema) -> str:
    """The first paragraph of a description, on one line."""
    return re.sub(r"\s+", " ", str(holder.get("description", "")).partition("\n\n")[0]).strip()
