"""People log in at a real OpenID Connect provider; nobody else gets in by its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient

from gateway.app import create_app
from gateway.settings import Settings
from jobstore import sites
from tests.integration.sites.conftest import Caller
from tests.support.provider import Provider

pytestmark = pytest.mark.integration


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(hippocamp_site="north", scope="openid read submit") as provider:
        yield provider


@pytest.fixture
def app(
    provider: Provider, settings: Settings, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> Flask:
    for name, value in provider.environment.items():
        monkeypatch.setenv(name, value)
    return create_app(settings)


def asked(http: FlaskClient, path: str = "/") -> str:
    """Begin a login; the provider's page that the browser is sent to."""
    begun = http.get(f"/login/provider?next={path}")
    assert begun.status_code == 302, begun.text
    return begun.headers["Location"]


def answered(address: str, answer: str = "yes") -> str:
    """Press the provider's button; path and query of the way back."""
    came = httpx.post(address, data={"answer": answer}, timeout=60, trust_env=False)
    back = urlsplit(came.headers["Location"])
    return f"{back.path}?{back.query}"


def test_a_person_logs_in_and_out(http: FlaskClient, north: Caller) -> None:
    assert "hospital" in http.get("/login").text
    welcome = http.get(answered(asked(http, "/model")))
    assert welcome.status_code == 200
    assert 'content="0; url=/model"' in welcome.text
    page = http.get("/")
    assert page.status_code == 200
    assert "north" in page.text
    assert http.get("/v1/jobs").json["jobs"] == []
    assert http.get("/operations").status_code == 403  # the token gave no admin scope
    http.post("/logout")
    assert http.get("/v1/jobs").status_code == 401


def test_the_address_carries_pkce_and_no_secret(http: FlaskClient, north: Caller) -> None:
    query = parse_qs(urlsplit(asked(http)).query)
    assert query["code_challenge_method"] == ["S256"]
    assert len(query["code_challenge"][0]) == 43
    assert query["response_type"] == ["code"]
    assert {"state", "nonce"} <= set(query)


def test_answers_are_used_once_and_only_in_their_browser(
    app: Flask, http: FlaskClient, north: Caller, provider: Provider
) -> None:
    back = answered(asked(http))
    with app.test_client() as other:
        assert other.get(back).status_code == 401  # somebody was sent this link
    assert http.get(back).status_code == 200
    assert http.get(back).status_code == 401
    assert provider.refused == []  # the second try never reached the provider


def test_refusals_and_forgeries(http: FlaskClient, north: Caller, provider: Provider) -> None:
    assert http.get(answered(asked(http), "no")).status_code == 401
    state = parse_qs(urlsplit(asked(http)).query)["state"][0]
    assert http.get(f"/login/callback?state={state}&code=guessed").status_code == 401
    assert provider.refused == ["unknown or used code"]
    assert http.get("/login/callback?state=&code=x").status_code == 401
    assert http.get("/v1/jobs").status_code == 401


@pytest.mark.parametrize(
    ("instead", "status"),
    [(("<p>no</p>", 400), 401), (("{}", 401), 401), (("<p>down</p>", 502), 503), (("no JSON", 200), 503),
     (('{"access_token": "x"}', 200), 401), (("[]", 200), 503)],
)  # fmt: skip
def test_a_provider_that_answers_nonsense_is_met(
    http: FlaskClient, north: Caller, provider: Provider, instead: tuple[str, int], status: int
) -> None:
    back = answered(asked(http))
    provider.instead = instead
    assert http.get(back).status_code == status
    assert http.get("/v1/jobs").status_code == 401


@pytest.mark.parametrize("secret", ["", "s3cret & more"])
def test_a_client_secret_goes_into_the_form(
    provider: Provider, settings: Settings, north: Caller, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    for name, value in {**provider.environment, "HIPPOCAMP_OIDC_CLIENT_SECRET": secret}.items():
        monkeypatch.setenv(name, value)
    with create_app(settings).test_client() as http:
        assert http.get(answered(asked(http))).status_code == 200
    assert provider.secrets == [secret]


def test_a_token_of_another_login_or_audience_is_refused(
    http: FlaskClient, north: Caller, provider: Provider
) -> None:
    for wrong in ({"nonce": "another"}, {"aud": "hippocamp"}, {"exp": 1}, {"hippocamp_site": "nowhere"}):
        provider.claims = {"hippocamp_site": "north", "scope": "read"} | wrong
        assert http.get(answered(asked(http))).status_code == 401, wrong


def test_a_site_that_is_disabled_ends_its_sessions(
    http: FlaskClient, new_site: Callable[..., sites.Site], north: Caller
) -> None:
    http.get(answered(asked(http)))
    assert http.get("/v1/jobs").status_code == 200
    new_site("north", enabled=False)
    assert http.get("/v1/jobs").status_code == 401


@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example", "/\\evil.example", "x", ""])
def test_nobody_is_sent_elsewhere(http: FlaskClient, north: Caller, path: str) -> None:
    welcome = http.get(answered(asked(http, path)))
    assert 'content="0; url=/"' in welcome.text


def test_a_provider_that_is_away_leaves_the_key(http: FlaskClient, north: Caller, provider: Provider) -> None:
    provider.__exit__(None, None, None)
    answer = http.get("/login/provider")
    assert answer.status_code == 503
    assert "API key" in answer.text
    entered = http.post("/login", data={"key": north.text, "next": "/model"})
    assert (entered.status_code, entered.headers["Location"]) == (303, "/model")
