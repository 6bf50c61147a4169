"""The gateway as it is served: bodies larger than its memory, broken uploads, several processes."""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Iterator

import httpx
import nibabel as nib
import numpy as np
import pytest
import redis

from jobstore import keys
from jobstore.store import JobStore
from tests.integration.gateway.live import Running, serving
from tests.support.hospital import Hospital
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

VOLUME = 300 << 20
"""Bytes of the large upload; the gateway's memory may grow by a tenth of that."""


@pytest.fixture(scope="module")
def gateway(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(redis_url, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def http(gateway: Running, hospital: Hospital) -> Iterator[httpx.Client]:
    """Sends the hospital's key."""
    with hospital.http(gateway.url, timeout_seconds=120) as client:
        yield client


def large_volume() -> Iterator[bytes]:
    """A valid NIfTI of VOLUME bytes that never lies in memory."""
    header = nib.Nifti1Header()
    header.set_data_dtype("float32")
    header.set_data_shape((512, 512, (VOLUME - 352) // (512 * 512 * 4)))
    header["magic"], header["vox_offset"] = b"n+1", 352
    yield header.binaryblock + bytes(4)
    rest, block = 512 * 512 * 4 * int(header["dim"][3]), bytes(range(256)) * 4096
    while rest > 0:
        yield block[:rest]
        rest -= len(block)


def form(chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield b'--edge\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    yield from chunks
    yield b"\r\n--edge--\r\n"


@pytest.mark.parametrize("shape", ["raw", "form"])
def test_an_upload_larger_than_memory_allows(
    gateway: Running, http: httpx.Client, job_store: JobStore, shape: str
) -> None:
    http.get("/readyz")
    before, highest = gateway.memory(), 0
    digest = hashlib.sha256()

    def body() -> Iterator[bytes]:
        nonlocal highest
        for count, chunk in enumerate(large_volume()):
            digest.update(chunk)
            if count % 20 == 0:
                highest = max(highest, gateway.memory())
            yield chunk

    kind = "application/octet-stream" if shape == "raw" else "multipart/form-data; boundary=edge"
    content = body() if shape == "raw" else form(body())
    answer = http.post("/v1/jobs", content=content, headers={"Content-Type": kind})
    assert answer.status_code == 202, answer.text
    assert answer.json()["content_digest"] == digest.hexdigest()
    assert highest - before < VOLUME / 10
    job = job_store.get(answer.json()["id"])
    stored = gateway.blobs / job.text("input_blob")
    assert stored.stat().st_size == int(job.text("stored_bytes"))
    assert answer.json()["size_bytes"] == stored.stat().st_size  # sent unpacked and without texts
    stored.unlink()


@pytest.mark.parametrize("chunked", [True, False])
def test_an_upload_that_breaks_off_leaves_nothing(
    gateway: Running, http: httpx.Client, hospital: Hospital, redis_client: redis.Redis, chunked: bool
) -> None:
    files = set(gateway.blobs.rglob("*"))
    length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 1000000"
    with socket.create_connection(("127.0.0.1", gateway.port)) as sender:
        head = next(large_volume()) + bytes(100_000)
        start = b"%x\r\n" % 200_000 if chunked else b""
        key = f"Authorization: {hospital.headers['Authorization']}\r\n".encode()
        sender.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\n" + key + length + b"\r\n\r\n" + start + head)
    eventually(lambda: {p for p in gateway.blobs.rglob("*") if p.is_file()} <= files)
    assert redis_client.keys(keys.record("*")) == []
    assert http.get("/livez").status_code == 200


def test_metrics_add_up_over_processes(http: httpx.Client) -> None:
    def count() -> float:
        text = http.get("/metrics").text
        found = re.findall(
            r'hippocamp_http_requests_total\{method="GET",route="/livez",status="200"\} (\S+)', text
        )
        return float(found[0])

    before = count()
    for _ in range(40):
        assert httpx.get(f"{http.base_url}/livez", timeout=60, trust_env=False).status_code == 200
    assert count() == before + 40


def test_pages_carry_no_inline_script_and_a_strict_policy(http: httpx.Client) -> None:
    answer = http.get("/")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=|https?://(?!www.w3.org)", answer.text)
    assert "Research use only" in answer.text
    for address in re.findall(r'(?:href|src)="(/static/[^"]+)"', answer.text):
        assert http.get(address).status_code == 200


@pytest.mark.hostile
@pytest.mark.parametrize(
    "head",
    [
        b"".join(b"X-%d: y\r\n" % n for n in range(10_000)),
        b"X-Long: " + b"y" * 100_000 + b"\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: -1\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"X y: z\r\n",
        b"\0: z\r\n",
    ],
    ids=[
        "10,000 fields",
        "long field",
        "two lengths",
        "two framings",
        "negative",
        "chunked twice",
        "space",
        "zero",
    ],
)
def test_a_strange_head_is_refused_and_the_next_request_is_served(gateway: Running, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as wire:
        try:
            wire.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n")
            said = wire.recv(1 << 16)
        except ConnectionError:
            said = b""
    assert said[:12] in {b"", b"HTTP/1.1 400", b"HTTP/1.1 413", b"HTTP/1.1 431", b"HTTP/1.1 501"}, said[:200]
    assert httpx.get(f"{gateway.url}/livez", timeout=60, trust_env=False).status_code == 200


@pytest.mark.hostile
def test_readers_that_are_killed_cost_no_upload(
    gateway: Running, http: httpx.Client, job_store: JobStore
) -> None:
    body = nib.Nifti1Image(np.arange(8 * 9 * 10, dtype=np.int16).reshape(8, 9, 10), np.eye(4)).to_bytes()
    for _ in range(3):
        sent = http.post("/v1/jobs", content=body, headers={"Content-Type": "application/octet-stream"})
        assert sent.status_code == 202, sent.text
        for worker in gateway.process.children():
            for sandbox_server in worker.children():
                sandbox_server.kill()
