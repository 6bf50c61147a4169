"""Keys and tokens: how they begin, overlap and end; who is let in without any."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jwt
import pytest
import redis
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask
from flask.testing import FlaskClient

from gateway.access.auth import is_loopback, refuse_open_network
from gateway.app import create_app
from gateway.settings import Settings
from jobstore import api_keys, keys, sites
from jobstore.api_keys import Scope
from runtime.redis_connections import connect
from runtime.settings import SettingError
from tests.integration.sites.conftest import Caller

pytestmark = [pytest.mark.integration, pytest.mark.isolation]


def status(http: FlaskClient, caller: Caller) -> int:
    return http.get("/v1/jobs", headers=caller.headers).status_code


def test_only_a_slow_hash_is_stored(redis_client: redis.Redis, north: Caller) -> None:
    stored = api_keys.find(redis_client, north.prefix)
    assert stored is not None
    assert north.text.startswith(stored.prefix)
    everything = [json.dumps(redis_client.hgetall(key)) for key in redis_client.keys(keys.api_key("*"))]
    secret = north.text.removeprefix(north.prefix)
    assert len(secret) == 32
    assert not any(secret in text for text in everything)
    assert not stored.matches(north.text[:-1] + ("a" if north.text[-1] != "a" else "b"))


def test_the_slow_hash_is_computed_once_in_a_while(
    http: FlaskClient, north: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []
    original = api_keys.slow_hash
    monkeypatch.setattr(api_keys, "slow_hash", lambda *a: computed.append(1) or original(*a))
    assert [status(http, north) for _ in range(5)] == [200] * 5
    assert len(computed) == 1


def test_a_disabled_key_is_refused_at_once(
    http: FlaskClient, redis_client: redis.Redis, north: Caller, key: Callable[..., Caller]
) -> None:
    other = key("north")
    assert status(http, north) == 200
    api_keys.disable(redis_client, api_keys.find(redis_client, north.prefix))
    assert status(http, north) == 401
    assert status(http, other) == 200


def test_a_disabled_site_is_refused_at_once(
    http: FlaskClient, redis_client: redis.Redis, north: Caller, south: Caller
) -> None:
    assert status(http, north) == 200
    sites.save(redis_client, replace(sites.find(redis_client, "north"), enabled=False))
    assert (status(http, north), status(http, south)) == (401, 200)


def test_rotation_overlaps_and_then_ends(http: FlaskClient, redis_client: redis.Redis, north: Caller) -> None:
    now = int(time.time() * 1000)
    text, fresh = api_keys.rotate(
        redis_client, api_keys.find(redis_client, north.prefix), now_ms=now, overlap_seconds=60
    )
    new = Caller(text, fresh.prefix)
    assert (status(http, north), status(http, new)) == (200, 200)
    redis_client.hset(keys.api_key(north.prefix), "until_ms", now - 1)
    assert (status(http, north), status(http, new)) == (401, 200)


def test_a_key_of_one_site_cannot_be_moved_to_another(
    http: FlaskClient, redis_client: redis.Redis, north: Caller, south: Caller
) -> None:
    moved = north.prefix.replace("north", "south")
    redis_client.copy(keys.api_key(north.prefix), keys.api_key(moved))
    forged = Caller(north.text.replace("north", "south"), moved)
    assert status(http, forged) == 401


def test_without_sites_this_machine_is_served_and_no_other_name(http: FlaskClient) -> None:
    assert http.get("/v1/jobs").status_code == 200
    assert http.get("/v1/jobs", headers={"Host": "127.0.0.1:8000"}).status_code == 200
    rebound = http.get("/v1/jobs", headers={"Host": "attacker.example"})
    assert (rebound.status_code, rebound.json["code"]) == (403, "auth.forbidden")


def test_without_sites_a_foreign_page_cannot_act(http: FlaskClient) -> None:
    foreign = http.post("/v1/jobs", data=b"x", headers={"Origin": "http://attacker.example"})
    told = http.post("/v1/jobs", data=b"x", headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == told.status_code == 403


def test_a_gateway_that_others_reach_is_never_open(
    settings: Settings, redis_url: str, redis_client: redis.Redis, new_site: Callable[..., sites.Site]
) -> None:
    app = create_app(replace(settings, bind="0.0.0.0:8080"))
    assert app.test_client().get("/v1/jobs").status_code == 401
    client = connect(redis_url)
    with pytest.raises(SettingError, match="no site is configured"):
        refuse_open_network("127.0.0.1:1,0.0.0.0:8080", client)
    refuse_open_network("127.0.0.1:8080,[::1]:8080,unix:/run/x", client)
    new_site("north")
    refuse_open_network("0.0.0.0:8080", client)


@pytest.mark.parametrize(
    ("bind", "stays"),
    [("127.0.0.1:80", True), ("localhost:80", True), ("[::1]:80", True), (":80", False),
     ("0.0.0.0:80", False), ("[::]:80", False), ("hospital:80", False), ("10.0.0.1", False),
     ("127.0.0.1:80,10.0.0.1:80", False)],
)  # fmt: skip
def test_what_counts_as_this_machine(bind: str, stays: bool) -> None:
    assert is_loopback(bind) is stays


def test_a_browser_logs_in_and_out(http: FlaskClient, redis_client: redis.Redis, north: Caller) -> None:
    assert http.get("/").headers["Location"] == "/login?next=/"
    assert http.post("/login", data={"key": north.text[:-1] + "!"}).status_code == 401
    entered = http.post("/login", data={"key": north.text})
    cookie = entered.headers["Set-Cookie"]
    assert entered.status_code == 303
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Max-Age"))
    assert north.text not in cookie
    assert http.get("/").status_code == 200
    assert http.get("/v1/jobs").status_code == 200
    forged = http.post("/v1/jobs/job_1/cancel", headers={"Origin": "https://attacker.example"})
    assert forged.status_code == 403
    assert http.post("/v1/jobs/job_1/cancel", headers={"Origin": "http://localhost"}).status_code == 404
    assert http.post("/logout").status_code == 303
    assert redis_client.keys(keys.session("*")) == []
    assert http.get("/v1/jobs").status_code == 401


def test_a_foreign_page_cannot_log_a_browser_in(http: FlaskClient, north: Caller) -> None:
    answer = http.post("/login", data={"key": north.text}, headers={"Origin": "https://attacker.example"})
    assert answer.status_code == 403


@pytest.fixture(scope="module")
def issuer_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def with_tokens(
    settings: Settings, redis_client: redis.Redis, tmp_path: Path, issuer_key: rsa.RSAPrivateKey,
    monkeypatch: pytest.MonkeyPatch, new_site: Callable[..., sites.Site],
) -> Flask:  # fmt: skip
    public = jwt.algorithms.RSAAlgorithm.to_jwk(issuer_key.public_key(), as_dict=True)
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [{**public, "kid": "k1", "use": "sig", "alg": "RS256"}]}))
    monkeypatch.setenv("HIPPOCAMP_OIDC_ISSUER", "https://idp.example")
    monkeypatch.setenv("HIPPOCAMP_OIDC_AUDIENCE", "hippocamp")
    monkeypatch.setenv("HIPPOCAMP_OIDC_JWKS", str(path))
    new_site("north")
    return create_app(settings)


def token(signed_by: object, *, algorithm: str = "RS256", kid: str = "k1", **claims: object) -> Caller:
    now = int(time.time())
    body = {"iss": "https://idp.example", "aud": "hippocamp", "sub": "u1", "iat": now, "exp": now + 60,
            "hippocamp_site": "north", "scope": "openid read", **claims}  # fmt: skip
    body = {name: value for name, value in body.items() if value is not None}
    return Caller(jwt.encode(body, signed_by, algorithm=algorithm, headers={"kid": kid}), "")


def test_a_token_of_the_issuer_opens_its_site_with_its_scopes(
    with_tokens: Flask, issuer_key: rsa.RSAPrivateKey
) -> None:
    http = with_tokens.test_client()
    assert status(http, token(issuer_key)) == 200
    assert http.post("/v1/jobs", headers=token(issuer_key).headers).status_code == 403
    both = token(issuer_key, scope=["read", "submit"])
    assert http.post("/v1/jobs", headers=both.headers).status_code == 422


@pytest.mark.parametrize(
    "wrong",
    [{"iss": "https://other.example"}, {"aud": "other"}, {"exp": 1}, {"exp": None}, {"sub": None},
     {"hippocamp_site": None}, {"hippocamp_site": "south"}, {"hippocamp_site": ["north"]}, {"kid": "k2"},
     {"nbf": 2**40}],
    ids=str,
)  # fmt: skip
def test_a_token_with_anything_wrong_is_refused(
    with_tokens: Flask, issuer_key: rsa.RSAPrivateKey, wrong: dict[str, object]
) -> None:
    assert status(with_tokens.test_client(), token(issuer_key, **wrong)) == 401


def test_a_forged_token_is_refused(with_tokens: Flask, issuer_key: rsa.RSAPrivateKey) -> None:
    http = with_tokens.test_client()
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert status(http, token(stranger)) == 401
    assert status(http, token(None, algorithm="none")) == 401
    assert status(http, token("s" * 64, algorithm="HS256")) == 401
    del with_tokens, issuer_key


def test_a_key_with_one_scope(key: Callable[..., Caller], http: FlaskClient) -> None:
    reader = key("north", frozenset({Scope.READ}))
    assert status(http, reader) == 200
    assert http.post("/v1/jobs", headers=reader.headers).status_code == 403
