"""Two hospitals and their keys on a gateway over a real Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient

from gateway.app import create_app
from gateway.settings import Settings
from jobstore import api_keys, sites
from jobstore.api_keys import Scope
from runtime.blobs import BlobStore
from tests.integration.gateway.conftest import nifti

ALL = frozenset(Scope)


@dataclass(frozen=True)
class Caller:
    """A key in use: its text as a header."""

    text: str
    prefix: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.text}"}


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    return Settings(redis_url=redis_url, blobs=str(tmp_path / "blobs"), max_upload_bytes=1 << 20)


@pytest.fixture
def app(settings: Settings, redis_client: redis.Redis) -> Flask:
    return create_app(settings)


@pytest.fixture
def http(app: Flask) -> Iterator[FlaskClient]:
    with app.test_client(use_cookies=True) as client:
        yield client


@pytest.fixture
def blobs(settings: Settings) -> BlobStore:
    return BlobStore(settings.blobs)


@pytest.fixture
def new_site(redis_client: redis.Redis) -> Callable[..., sites.Site]:
    """Configure a site without a limit on its rate, unless told otherwise."""

    def make(name: str, **about: object) -> sites.Site:
        site = sites.Site(name=name, **{"requests_per_second": 0.0, **about})
        sites.save(redis_client, site)
        return site

    return make


@pytest.fixture
def key(redis_client: redis.Redis, new_site: Callable[..., sites.Site]) -> Callable[..., Caller]:
    """Issue a key, and its site when there is none."""

    def issue(site: str, scopes: frozenset[Scope] = ALL) -> Caller:
        if sites.find(redis_client, site) is None:
            new_site(site)
        text, made = api_keys.issue(redis_client, site, scopes, now_ms=int(time.time() * 1000))
        return Caller(text, made.prefix)

    return issue


@pytest.fixture
def north(key: Callable[..., Caller]) -> Caller:
    return key("north")


@pytest.fixture
def south(key: Callable[..., Caller]) -> Caller:
    return key("south")


@pytest.fixture
def submit(http: FlaskClient) -> Callable[..., str]:
    """Hand in a volume with a key; the job's id."""

    def send(caller: Caller, seed: int = 0) -> str:
        answer = http.post("/v1/jobs", data=nifti(seed=seed), headers=caller.headers, content_type=RAW)
        assert answer.status_code in {200, 202}, answer.text
        return str(answer.json["id"])

    return send


RAW = "application/octet-stream"
