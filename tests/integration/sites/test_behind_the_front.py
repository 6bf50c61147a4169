"""The limits and small holes once more, on the gateway as hospitals reach it: its server, sites and keys."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import redis

from jobstore import keys
from jobstore.api_keys import Scope
from runtime.blobs import BlobStore
from tests.integration.gateway.conftest import finish, nifti
from tests.integration.gateway.live import Running, serving
from tests.integration.sites.conftest import RAW, Caller

__all__ = ["finish"]

STOW = 'multipart/related; type="application/dicom"; boundary=b'


@pytest.fixture
def live(redis_url: str, redis_client: redis.Redis, tmp_path: Path) -> Iterator[Running]:
    with serving(redis_url, tmp_path, HIPPOCAMP_TRUSTED_PROXIES="127.0.0.1") as found:
        yield found


@pytest.fixture
def blobs(live: Running) -> BlobStore:
    return BlobStore(str(live.blobs))


def send(live: Running, caller: Caller, path: str = "/v1/jobs", **about: object) -> httpx.Response:
    given = {"content": nifti(), "headers": {"Content-Type": RAW}} | about
    given["headers"] = caller.headers | given["headers"]  # type: ignore[operator]
    return httpx.post(f"{live.url}{path}", trust_env=False, timeout=60, **given)  # type: ignore[arg-type]


def test_who_may_only_submit_waits_for_the_end_and_learns_no_outcome(
    live: Running, redis_client: redis.Redis, key: Callable[..., Caller], finish: Callable[[str], None]
) -> None:
    outcome = {"cdr": ">=1", "label": "mild or worse", "uncertain": False}
    only_submits = frozenset({Scope.SUBMIT})

    def work(jobs: str) -> None:
        ends = time.monotonic() + 20
        while not (ids := redis_client.zrange(jobs, 0, -1)):
            assert time.monotonic() < ends
            time.sleep(0.05)
        time.sleep(0.3)
        finish(str(ids[0]))

    for caller, site, seen in ((key("north", only_submits), "north", None), (key("south"), "south", outcome)):
        worker = threading.Thread(target=work, args=(keys.jobs_of_site(site),))
        worker.start()
        answer = send(live, caller, headers={"Content-Type": RAW, "Prefer": "wait=20"})
        worker.join()
        assert answer.status_code == 200, answer.text
        assert answer.headers["Preference-Applied"] == "wait=20"
        assert (answer.json()["state"], answer.json()["outcome"]) == ("succeeded", seen)


def test_requests_beyond_a_limit_are_the_callers_fault(live: Running, north: Caller) -> None:
    parts = b"--b\r\n\r\n\r\n" * 300_000 + b"--b--"
    deep = {"content": b"[" * 60_000, "headers": {"Content-Type": "application/json"}}
    stow = {"content": parts, "headers": {"Content-Type": STOW}}
    before = live.memory()
    for path, about, wanted in (
        ("/dicom-web/studies", stow, (413, "input.too_large")),
        ("/v1/batches", deep, (400, "request.bad_value")),
        ("/v1/jobs", deep, (400, "request.bad_value")),
    ):
        answer = send(live, north, path, **about)
        assert (answer.status_code, answer.json()["code"]) == wanted, answer.text
    assert live.memory() - before < 100 << 20


def test_the_cookie_is_secure_behind_a_trusted_proxy_that_speaks_tls(live: Running, north: Caller) -> None:
    for scheme, secure in (("http", False), ("https", True)):
        headers = {"X-Forwarded-Proto": scheme, "X-Forwarded-For": "192.0.2.7"}
        form = {"key": north.text}
        answer = httpx.post(f"{live.url}/login", data=form, headers=headers, trust_env=False, timeout=60)
        assert answer.status_code == 303
        assert ("Secure" in answer.headers["Set-Cookie"]) is secure
