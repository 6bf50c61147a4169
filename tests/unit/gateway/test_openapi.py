"""The document is valid, names every route, and its examples and errors are the real ones."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.app import create_app
from gateway.http.operations import operation_of
from gateway.http.problems import MEDIA_TYPE, all_kinds
from gateway.settings import Settings

NOT_API = {"static", "documents.openapi"}


@pytest.fixture(scope="module")
def app() -> Flask:
    return create_app(Settings(redis_url="redis://127.0.0.1:1/0", blobs="/nonexistent"))


@pytest.fixture(scope="module")
def document(app: Flask) -> dict[str, object]:
    with app.test_client() as http:
        return dict(http.get("/openapi.json").json)


def test_it_is_valid_openapi_31(document: dict[str, object]) -> None:
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_every_route_that_is_no_page_is_in_it(app: Flask, document: dict[str, object]) -> None:
    for rule in app.url_map.iter_rules():
        if rule.endpoint in NOT_API or rule.endpoint.startswith(("pages.", "login.")):
            continue
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            described = document["paths"][path][method.lower()]
            assert described["summary"]
            assert described["description"], path
            assert {p["name"] for p in described["parameters"] if p["in"] == "path"} == set(rule.arguments)


def test_every_error_it_names_exists(document: dict[str, object]) -> None:
    status_of = {kind.code: kind.status for kind in all_kinds()}
    calls = [call for path in document["paths"].values() for call in path.values()]
    named = [
        (code, int(status), example["value"]["status"])
        for call in calls
        for status, answer in call["responses"].items()
        for code, example in answer.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {}).items()
    ]
    assert len(named) > 50
    assert [(code, a, b) for code, a, b in named if not a == b == status_of[code]] == []


def test_every_v1_view_is_declared(app: Flask) -> None:
    views = {r.rule: app.view_functions[r.endpoint] for r in app.url_map.iter_rules() if "/v1" in r.rule}
    assert len(views) > 10
    assert [rule for rule, view in views.items() if not operation_of(view)] == []


def test_two_errors_never_share_a_code() -> None:
    codes = [kind.code for kind in all_kinds()]
    assert len(codes) == len(set(codes))


def test_guarded_calls_say_which_scope_they_need(document: dict[str, object]) -> None:
    assert document["paths"]["/v1/jobs"]["post"]["x-scope"] == "submit"
    assert "401" in document["paths"]["/v1/jobs"]["post"]["responses"]
    assert document["paths"]["/livez"]["get"]["security"] == []
