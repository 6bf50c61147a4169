"""The library against a real gateway: submit, wait, read, cancel; the same bytes sync and async."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from pathlib import Path

import pytest

from client import AsyncClient, BadInput, Client, JobEnded, NotFound, RetryPolicy, Unavailable, WaitedTooLong
from tests.integration.client.conftest import REFUSED_SEED, Carrier, nifti
from tests.support.hospital import Hospital


def test_submit_and_result(client: Client) -> None:
    result = client.submit(nifti()).result(timeout=180)
    assert (result.cdr, result.label) == (">=1", "mild or worse")
    assert result.interval["cdr1"] == (0.4, 0.8)
    assert result.prediction_set == ("0.5", ">=1")
    assert "Research use only" in result.notice


def test_file_stream_and_bytes_have_one_digest(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "v.nii"
    file.write_bytes(nifti(3))
    with file.open("rb") as stream:
        handles = [client.submit(one) for one in (file, str(file), stream, nifti(3))]
    assert len({handle.wait(timeout=60).raw["content_digest"] for handle in handles}) == 1
    assert len({handle.id for handle in handles}) == 4


def test_async_is_the_same(url: str, hospital: Hospital) -> None:
    async def go() -> list[str]:
        async with AsyncClient(url, key=hospital.key) as client:
            handles = await asyncio.gather(*(client.submit(nifti(seed)) for seed in range(5)))
            results = await asyncio.gather(*(handle.result(timeout=180) for handle in handles))
            return [result.job_id for result in results]

    assert len(set(asyncio.run(go()))) == 5


def test_refusals_name_their_code(client: Client) -> None:
    with pytest.raises(BadInput) as caught:
        client.submit(b"\xff\xd8\xff" + b"x" * 1000)
    assert caught.value.problem.code == "input.not_a_volume"
    with pytest.raises(NotFound):
        client.job("job_" + "0" * 32)
    with pytest.raises(JobEnded, match=r"quality\.not_t1w"):
        client.submit(nifti(REFUSED_SEED)).result(timeout=180)


def test_a_refusal_before_the_end_of_the_upload_is_read(client: Client) -> None:
    with pytest.raises(BadInput) as caught:
        client.submit(b"\xff\xd8\xff" + b"x" * (16 << 20))
    assert caught.value.problem.status in {413, 415}


def test_waiting_too_long_and_cancel(client: Client, carrier: Carrier) -> None:
    carrier.pause.set()
    handle = client.submit(nifti(5))
    with pytest.raises(WaitedTooLong):
        handle.result(timeout=0.5)
    assert handle.cancel().state == "canceled"
    with pytest.raises(JobEnded):
        handle.result()


def test_pictures_and_lists(client: Client) -> None:
    handle = client.submit(nifti(6))
    handle.wait(timeout=60)
    assert client.overlay(handle.id, which="cdr1", number=16).startswith(b"\x89PNG")
    assert client.overlay(handle.id).startswith(b"\x1f\x8b")
    assert client.jobs(state="succeeded").jobs[0].id == handle.id
    assert json.loads(handle.report("json"))["job_id"] == handle.id


def test_nobody_there() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    retry_policy = RetryPolicy(retries=2, first_seconds=0.01)
    with Client(url, retry_policy=retry_policy) as client, pytest.raises(Unavailable, match="after 3 tries"):
        client.job("job_1")


def test_a_gateway_that_comes_late_is_waited_for(client: Client, url: str) -> None:
    """A flaky front answers 503 with Retry-After, then breaks the connection, then lets the call through."""
    answers = [b"HTTP/1.1 503 x\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", b""]
    answers.append(
        b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\nConnection: close\r\n\r\n"
        + b'{"id":"job_1","state":"queued"}'.ljust(40)
    )
    with socket.create_server(("127.0.0.1", 0)) as front:

        def serve() -> None:
            for answer in answers:
                connection, _ = front.accept()
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with Client(
            f"http://127.0.0.1:{front.getsockname()[1]}", retry_policy=RetryPolicy(first_seconds=0.01)
        ) as flaky:
            assert flaky.job("job_1").state == "queued"
        thread.join(60)
