"""Every route of the real application: without a key, with too small a scope, and by another site."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.access.scopes import PUBLIC, SCOPES, needed
from jobstore.api_keys import Scope
from tests.integration.sites.conftest import Caller

pytestmark = [pytest.mark.integration, pytest.mark.isolation]


def routes(app: Flask) -> Iterator[tuple[str, str, str]]:
    """(endpoint, method, path with plausible ids) of everything the application answers."""
    adapter = app.url_map.bind("localhost")
    plausible = {
        "job_id": "job_" + "0" * 32, "endpoint_id": "whe_" + "0" * 32, "delivery_id": "whd_0_0",
        "batch_id": "bat_" + "0" * 32, "n": 3, "code": "input.empty",
        "filename": "site.css", "digest": "0" * 64, "plane": "axial", "cut": 60,
    }  # fmt: skip
    for rule in app.url_map.iter_rules():
        values: dict[str, Any] = {name: plausible.get(name, "x" * 8) for name in rule.arguments}
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule.endpoint, method, adapter.build(rule.endpoint, values, method)


def test_every_route_declares_what_it_needs(app: Flask) -> None:
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules()}
    assert endpoints - PUBLIC - set(SCOPES) == set(), "add them to gateway/access/scopes.py"
    assert (PUBLIC | set(SCOPES)) - endpoints == set(), "remove them from gateway/access/scopes.py"


def test_no_key_opens_no_route(app: Flask, http: FlaskClient, north: Caller) -> None:
    for endpoint, method, path in routes(app):
        answer = http.open(path, method=method, buffered=True)
        if endpoint in PUBLIC:
            assert answer.status_code not in {403, 500}, path
        elif endpoint.startswith("pages."):
            assert (answer.status_code, answer.headers["Location"]) == (302, f"/login?next={path}"), path
        else:
            assert answer.status_code == 401, (method, path)
            assert answer.json["code"] == "auth.required"
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "text",
    [
        "hk_north_" + "a" * 40,
        "hk_north_short",
        "hk__",
        "hk_no-such_" + "b" * 40,
        "eyJhbGciOiJub25lIn0.e30.",
        "x",
    ],
)
def test_a_wrong_key_opens_no_route(app: Flask, http: FlaskClient, north: Caller, text: str) -> None:
    for endpoint, method, path in routes(app):
        if endpoint not in PUBLIC:
            answer = http.open(
                path, method=method, buffered=True, headers={"Authorization": f"Bearer {text}"}
            )
            assert answer.status_code == (302 if endpoint.startswith("pages.") else 401), (method, path)


def test_a_key_opens_only_what_its_scope_covers(
    app: Flask, http: FlaskClient, key: Callable[..., Caller]
) -> None:
    for scope in Scope:
        caller = key("north", frozenset({scope}))
        for endpoint, method, path in routes(app):
            if endpoint in PUBLIC:
                continue
            answer = http.open(path, method=method, buffered=True, headers=caller.headers)
            if needed(endpoint) is scope:
                assert answer.status_code not in {401, 403, 500}, (scope, method, path)
            else:
                assert answer.status_code == 403, (scope, method, path)
                assert answer.json["code"] == "auth.forbidden"


def test_another_sites_key_finds_none_of_our_jobs(
    app: Flask, http: FlaskClient, north: Caller, south: Caller, submit: Callable[..., str]
) -> None:
    job_id = submit(north)
    tried = 0
    for endpoint, method, path in routes(app):
        if "job_" not in path or endpoint in PUBLIC:
            continue
        ours = path.replace("job_" + "0" * 32, job_id)
        answer, unknown = (
            http.open(p, method=method, buffered=True, headers=south.headers) for p in (ours, path)
        )
        assert answer.status_code == unknown.status_code == 404, (method, path)
        assert answer.json["code"] == unknown.json["code"] == "job.not_found"
        tried += 1
    assert tried >= 8
    assert http.get(f"/v1/jobs/{job_id}", headers=north.headers).json["state"] == "queued"
