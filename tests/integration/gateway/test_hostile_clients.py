"""One test a kind of client that holds on to what it gets; the gateway has two configured sites with keys."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import nibabel as nib
import numpy as np
import psutil
import pytest
import redis

from jobstore import keys
from jobstore.store import JobStore
from tests.conftest import free_port
from tests.integration.gateway.callers import RAW, Caller, events, read_all, read_until
from tests.integration.gateway.live import Running, serving
from tests.support.processes import descendants
from tests.support.waiting import eventually
from tests.support.wires import send

pytestmark = [pytest.mark.integration, pytest.mark.hostile]

SOON = 5.0
"""Seconds within which another site is answered: far from a stall; bench.hostile_clients measures it."""


@pytest.fixture(scope="module")
def gateway(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One process of four threads, with few places."""
    places = {"STREAMS": "8", "WAITS": "4", "UPLOADS": "4", "THREADS": "4", "WORKERS": "1"}
    settings = {f"HIPPOCAMP_GATEWAY_{name}": value for name, value in places.items()}
    settings["HIPPOCAMP_OPS_BIND"] = f"127.0.0.1:{free_port()}"
    with serving(redis_url, tmp_path_factory.mktemp("gateway"), **settings) as running:
        yield running


@pytest.fixture
def crowd(gateway: Running, redis_client: redis.Redis) -> Caller:
    return Caller.of(gateway, redis_client, "crowd", requests_per_second=0.0)


@pytest.fixture
def quiet(gateway: Running, redis_client: redis.Redis) -> Caller:
    return Caller.of(gateway, redis_client, "quiet")


def volume(seed: int = 0, shape: tuple[int, ...] = (8, 9, 10)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 999, shape, dtype=np.int16)
    return bytes(nib.Nifti1Image(pixels, np.eye(4)).to_bytes())


def is_served(caller: Caller) -> None:
    began = time.monotonic()
    with caller.http(seconds=20) as http:
        assert http.get("/v1/jobs?limit=1").status_code == 200
    assert time.monotonic() - began < SOON


@contextlib.contextmanager
def held(wires: list[socket.socket]) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        for wire in wires:
            stack.enter_context(wire)
        yield wires


def test_silent_connections_stall_nobody(crowd: Caller, quiet: Caller) -> None:
    with held([crowd.connect() for _ in range(300)]):
        is_served(quiet)


def test_slow_readers_stall_nobody(crowd: Caller, quiet: Caller) -> None:
    with held([crowd.connect(window=4096) for _ in range(40)]) as wires:
        for wire in wires:
            send(wire, crowd.head("GET", "/openapi.json") * 10)
        is_served(quiet)


def test_slow_senders_stall_nobody_and_are_told_408(crowd: Caller, quiet: Caller) -> None:
    with held([crowd.connect() for _ in range(40)]) as wires:
        for wire in wires:
            send(wire, crowd.head("POST", "/v1/jobs", "Content-Length: 60000"))
        is_served(quiet)
        said = read_until(wires[0], b"}")
        assert said.startswith(b"HTTP/1.1 408 ")
        assert b"request.too_slow" in said


def test_when_all_streams_are_taken_another_site_gets_one_and_the_displaced_resume(
    crowd: Caller, quiet: Caller, redis_client: redis.Redis
) -> None:
    theirs, ours = crowd.submit(volume(1)), quiet.submit(volume(2))
    with held([crowd.follow(theirs) for _ in range(8)]) as streams:
        first = [read_until(stream, b"}\n\n") for stream in streams]
        assert all(events(text) for text in first)
        with crowd.follow(theirs) as ninth:
            assert b"unavailable.streams" in read_until(ninth, b"}"), "the site holds all there are"
        with quiet.follow(ours) as stream:
            assert events(read_until(stream, b"}\n\n")), "the newcomer is served"
            ended, _, _ = select.select(streams, [], [], 10)
            assert [one.recv(100) for one in ended] == [b"0\r\n\r\n"], "one of theirs ends, in order"
            JobStore(redis_client).cancel(theirs)
            seen = events(first[streams.index(ended[0])])[-1][0]
            with crowd.follow(theirs, seen) as again:
                told = events(read_until(again, b"}\n\n"))
            assert [job["state"] for _, job in told] == ["canceled"], (
                "nothing is told twice, nothing is missed"
            )


def test_waits_are_shared_and_only_who_waited_is_told_so(
    crowd: Caller, quiet: Caller, redis_client: redis.Redis
) -> None:
    def wait(caller: Caller, seed: int, seconds: int) -> httpx.Response:
        with caller.http() as http:
            return http.post("/v1/jobs", content=volume(seed), headers=RAW | {"Prefer": f"wait={seconds}"})

    with ThreadPoolExecutor(6) as pool:
        greedy = [pool.submit(wait, crowd, seed, 20) for seed in range(4)]
        eventually(lambda: redis_client.zcard(keys.jobs_of_site("crowd")) == 4)
        time.sleep(2)  # from their records to their places
        refused = wait(crowd, 5, 20)
        assert (refused.status_code, refused.headers.get("Preference-Applied")) == (202, None)
        modest = wait(quiet, 6, 1)
        assert (modest.status_code, modest.headers["Preference-Applied"]) == (202, "wait=1")
        answers = [one.result() for one in greedy]
    told = sorted(answer.headers.get("Preference-Applied", "") for answer in answers)
    assert told == ["", *["wait=20"] * 3], "the oldest wait of theirs ended for the newcomer"


def test_who_waits_for_a_job_is_told_when_it_ends(quiet: Caller, redis_client: redis.Redis) -> None:
    def end() -> None:
        while not redis_client.zcard(keys.jobs_of_site("quiet")):
            time.sleep(0.05)
        JobStore(redis_client).cancel(redis_client.zrange(keys.jobs_of_site("quiet"), 0, 0)[0])

    ending = threading.Thread(target=end)
    ending.start()
    with quiet.http() as http:
        answer = http.post("/v1/jobs", content=volume(3), headers=RAW | {"Prefer": "wait=30"})
    ending.join()
    assert (answer.status_code, answer.json()["state"]) == (200, "canceled")
    assert answer.headers["Preference-Applied"] == "wait=30"
    assert "Retry-After" not in answer.headers
    assert answer.json()["links"]["self"] == answer.headers["Location"]


def test_a_body_is_not_taken_before_its_head_is_admitted(
    gateway: Running, quiet: Caller, redis_client: redis.Redis
) -> None:
    full = Caller.of(gateway, redis_client, "full", most_waiting=1)
    full.submit(volume(7))
    limited = Caller.of(gateway, redis_client, "limited", requests_per_second=0.1)
    is_served(limited)
    length, huge = "Content-Length: 104857600", "Content-Length: 10737418240"
    heads = {
        b"401": b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 104857600\r\n\r\n",
        b"413": quiet.head("POST", "/v1/jobs", huge),
        b"415": quiet.head("POST", "/v1/jobs", length, "Content-Type: text/plain"),
        b"404": quiet.head("POST", "/nowhere", length),
        b"405": quiet.head("PUT", "/v1/jobs", length),
        b"413 ": quiet.head("POST", "/v1/batches", length, "Content-Type: application/json"),
        b"429": full.head("POST", "/v1/jobs", length),
        b"429 ": limited.head("POST", "/v1/jobs", length),
    }
    for status, head in heads.items():
        with quiet.connect() as wire:
            send(wire, head)
            assert read_until(wire, b"}")[9:12] == status.strip(), head


def test_an_upload_is_counted_once_though_its_head_is_looked_at_first(
    gateway: Running, redis_client: redis.Redis
) -> None:
    site = Caller.of(gateway, redis_client, "counted", requests_per_second=5.0)
    body = volume(8, (64, 64, 64))
    with site.http() as http:
        left = [
            re.search(r"r=(\d+)", http.post("/v1/jobs", content=body, headers=RAW).headers["RateLimit"])[1]
            for _ in range(2)
        ]
    assert int(left[0]) - int(left[1]) <= 1


def test_bytes_that_are_no_volume_are_refused_at_their_beginning_and_the_sender_sees_why(
    quiet: Caller,
) -> None:
    with quiet.http() as http:
        answer = http.post("/v1/jobs", content=b"\xff\xd8\xff" + bytes(12 << 20), headers=RAW)
    assert (answer.status_code, answer.json()["code"]) == (415, "input.not_a_volume")


def test_places_for_uploads_are_shared(crowd: Caller, quiet: Caller) -> None:
    with held([crowd.connect() for _ in range(4)]) as wires:
        for wire in wires:
            send(wire, crowd.head("POST", "/v1/jobs", "Content-Length: 12000000"))
            send(wire, volume(9, (96, 96, 96))[:200_000])
        time.sleep(1)
        quiet.submit(volume(10, (64, 64, 64)))
        ended, _, _ = select.select(wires, [], [], 60)  # the one that was admitted first, whichever that was
        said = read_until(ended[0], b"}")
        assert said.startswith(b"HTTP/1.1 503 ")
        assert b"unavailable.busy" in said


@pytest.fixture
def nothing_is_read(gateway: Running) -> Iterator[None]:
    """The processes that read uploads stand still, so every upload holds its thread."""
    children = descendants(gateway.process, "gateway.uploads.sanitize.server")
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.suspend()
    try:
        yield
    finally:
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.resume()


def test_one_site_cannot_hold_all_threads(crowd: Caller, quiet: Caller, nothing_is_read: None) -> None:
    wires = [crowd.connect() for _ in range(12)]
    with held(wires):
        for number, wire in enumerate(wires):
            body = volume(number)
            send(wire, crowd.head("POST", "/v1/jobs", f"Content-Length: {len(body)}") + body)
        time.sleep(1)
        is_served(quiet)
        is_served(crowd)


def test_health_answers_while_all_threads_are_held(
    gateway: Running, redis_client: redis.Redis, nothing_is_read: None
) -> None:
    callers = [Caller.of(gateway, redis_client, f"many{n}") for n in range(5)]
    for caller in callers:
        is_served(caller)  # who has not been seen to be good shares the threads of its address
    wires = [caller.connect() for caller in callers]
    with held(wires):
        for number, (caller, wire) in enumerate(zip(callers, wires, strict=True)):
            body = volume(number)
            send(wire, caller.head("POST", "/v1/jobs", f"Content-Length: {len(body)}") + body)
        time.sleep(1)
        for url in (gateway.url, gateway.ops_url):
            with httpx.Client(base_url=url, trust_env=False, timeout=SOON) as http:
                assert http.get("/livez").json() == {"alive": True}
                assert http.get("/readyz?only=line,blobs,audit").status_code == 200
                assert "hippocamp_http_requests_total" in http.get("/metrics").text
        with callers[4].http() as http:
            busy = http.get("/v1/jobs")
        assert (busy.status_code, busy.json()["code"]) == (503, "unavailable.busy")
        assert busy.headers["Retry-After"] == "2"


def test_the_port_for_health_answers_nothing_else(gateway: Running, quiet: Caller) -> None:
    answer = httpx.get(f"{gateway.ops_url}/v1/jobs", headers=quiet.headers, trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (404, "request.not_found")


def test_bytes_that_are_no_request_are_in_no_log(gateway: Running, quiet: Caller) -> None:
    sent = (
        b"GET /zqxcanary foo bar HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX Zqxcanary: a\r\n\r\n",
        b"CONNECT zqxcanary:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xff\xfezqxcanary HTTP/1.1\r\nHost: a\r\n\r\n",
        quiet.head("POST", "/v1/batches", "Transfer-Encoding: chunked")
        + b"2;zqxcanary\nb\r\n{}\r\n0\r\n\r\n",
        quiet.head("POST", "/v1/batches", "Content-Length: zqxcanary"),
    )
    for data in sent:
        with quiet.connect() as wire:
            send(wire, data)
            assert read_all(wire)[9:10] == b"4", data
    assert b"zqxcanary" not in gateway.log.read_bytes()


def test_a_header_with_an_underscore_stands_for_no_other(quiet: Caller) -> None:
    with quiet.http() as http:
        body = volume(11)
        answer = http.post("/v1/jobs", content=body, headers={"Hippocamp_Priority": "stat", **RAW})
        assert answer.json()["priority"] == "routine"
        assert http.get("/v1/jobs", headers={"Authorization_": "Bearer nonsense"}).status_code == 200


def test_a_client_that_leaves_gives_its_stream_back(crowd: Caller) -> None:
    job = crowd.submit(volume(12))
    for _ in range(20):
        with crowd.follow(job) as stream:
            assert events(read_until(stream, b"}\n\n"))
