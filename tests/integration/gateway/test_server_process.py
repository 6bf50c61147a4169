"""The server's processes: how they stop, what replaces them, and behind which proxies they stand."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import redis

from tests.integration.gateway.callers import RAW, Caller, events, read_until
from tests.integration.gateway.live import Running, serving
from tests.integration.gateway.test_hostile_clients import volume
from tests.support.processes import descendants
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def gateway(redis_url: str, redis_client: redis.Redis, tmp_path: Path) -> Iterator[Running]:
    """Over TCP and over a Unix socket; the machine itself is a trusted proxy."""
    address = f"unix:{tmp_path}/socket"
    settings = {"HIPPOCAMP_TRUSTED_PROXIES": "127.0.0.0/8", "HIPPOCAMP_AUDIT": str(tmp_path / "audit.jsonl")}
    with serving(redis_url, tmp_path, also=address, **settings) as running:
        yield running


@pytest.fixture
def north(gateway: Running, redis_client: redis.Redis) -> Caller:
    return Caller.of(gateway, redis_client, "north")


def processes(gateway: Running) -> list[psutil.Process]:
    return descendants(gateway.process, "spawn_main")


def test_a_stop_ends_streams_in_order_and_lets_an_upload_come(gateway: Running, north: Caller) -> None:
    body, answers = volume(1, (64, 64, 64)), []
    with north.follow(north.submit(volume())) as stream, north.connect() as wire:
        assert events(read_until(stream, b"}\n\n"))
        wire.sendall(north.head("POST", "/v1/jobs", f"Content-Length: {len(body)}") + body[:100_000])
        time.sleep(0.5)
        gateway.process.send_signal(signal.SIGTERM)

        def finish() -> None:
            time.sleep(2)
            wire.sendall(body[100_000:])
            answers.append(read_until(wire, b"}"))

        finishing = threading.Thread(target=finish)
        finishing.start()
        assert read_until(stream, b"0\r\n\r\n", seconds=10).endswith(b"0\r\n\r\n")
        finishing.join()
        assert answers[0].startswith(b"HTTP/1.1 202 ")


def test_a_process_that_is_killed_is_replaced_and_costs_a_retry(gateway: Running, north: Caller) -> None:
    victim = processes(gateway)[0]
    victim.kill()
    eventually(lambda: len(processes(gateway)) == 2 and victim not in processes(gateway), within=30)
    for number in range(4):
        north.submit(volume(number))


def test_processes_end_with_the_one_that_started_them(gateway: Running) -> None:
    left = gateway.process.children(recursive=True)
    gateway.process.kill()
    _, alive = psutil.wait_procs(left, timeout=30)
    assert alive == []


def test_a_setting_that_makes_no_sense_stops_it_with_a_sentence(redis_url: str, tmp_path: Path) -> None:
    starting = serving(redis_url, tmp_path, HIPPOCAMP_TRUSTED_PROXIES="nonsense")
    with pytest.raises(RuntimeError, match="HIPPOCAMP_TRUSTED_PROXIES='nonsense' wants addresses"), starting:
        pass


def where(folder: Path) -> list[str]:
    """Client addresses in the audit log, in order."""
    return [json.loads(line)["where"] for line in (folder / "audit.jsonl").read_text().splitlines()]


def test_a_trusted_proxy_says_who_the_client_is_and_whether_it_came_by_tls(
    gateway: Running, north: Caller, tmp_path: Path
) -> None:
    forwarded = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7", "X-Forwarded-Proto": "https"}
    with north.http() as http:
        assert http.post("/v1/jobs", content=volume(), headers=RAW | forwarded).status_code == 202
        http.post("/v1/jobs", content=volume(), headers=RAW | {"X-Forwarded-For": "<script>"})
        entered = http.post("/login", data={"key": north.key}, headers=forwarded)
    assert "Secure" in entered.headers["Set-Cookie"]
    assert where(tmp_path)[:2] == ["198.51.100.7", ""]


def test_who_is_no_trusted_proxy_is_the_client(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path
) -> None:
    with serving(redis_url, tmp_path, HIPPOCAMP_AUDIT=str(tmp_path / "audit.jsonl")) as gateway:
        north = Caller.of(gateway, redis_client, "north")
        forwarded = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
        with north.http() as http:
            http.post("/v1/jobs", content=volume(), headers=RAW | forwarded)
            entered = http.post("/login", data={"key": north.key}, headers=forwarded)
    assert "Secure" not in entered.headers["Set-Cookie"]
    assert where(tmp_path)[0] == "127.0.0.1"


def test_over_a_unix_socket_a_long_request_is_served(gateway: Running, north: Caller, tmp_path: Path) -> None:
    """Longer than a connection without a request may last: the guard knows it without an address."""
    transport = httpx.HTTPTransport(uds=str(tmp_path / "socket"))
    with httpx.Client(
        transport=transport, base_url="http://localhost", headers=north.headers, timeout=60
    ) as http:
        answer = http.post(
            "/v1/jobs",
            content=volume(2),
            headers=RAW | {"Prefer": "wait=14", "X-Forwarded-For": "203.0.113.9"},
        )
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (202, "wait=14")
    assert where(tmp_path) == ["203.0.113.9"]


def test_a_stopped_process_that_goes_on_is_not_taken_for_dead(gateway: Running, north: Caller) -> None:
    before = {one.pid for one in processes(gateway)}
    for one in processes(gateway):
        os.kill(one.pid, signal.SIGSTOP)
    time.sleep(3)
    for pid in before:
        os.kill(pid, signal.SIGCONT)
    north.submit(volume(3))
    assert {one.pid for one in processes(gateway)} == before
    with socket.create_connection(("127.0.0.1", gateway.port)) as wire:
        wire.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert wire.recv(100).startswith(b"HTTP/1.1 200 ")
