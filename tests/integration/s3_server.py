"""A bucket on a real HTTP server that speaks S3, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import fsspec
import pytest

from tests.conftest import free_port

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
}  # fmt: skip
_SERVE = "import sys; from moto.server import main; main(sys.argv[1:])"


@contextmanager
def s3_server(host: str = "127.0.0.1", *, bind: str = "", under: tuple[str, ...] = ()) -> Iterator[str]:
    """Its address, with the bucket `hippocamp`; `under`: a command to run it by (`ip netns exec NAME`)."""
    port = free_port()
    command = [*under, sys.executable, "-c", _SERVE, "-H", bind or host, "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://{host}:{port}"
    try:
        _make(f"{url}/hippocamp", server)
        yield url
    finally:
        server.terminate()
        server.wait(60)


@contextmanager
def s3_for_us() -> Iterator[str]:
    """A server that this process finds by its environment; its address."""
    with s3_server() as url, pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items() | {"AWS_ENDPOINT_URL_S3": url}.items():
            patch.setenv(name, value)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        yield url


def _make(bucket: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(1800):
        assert server.poll() is None, "the S3 server did not start"
        try:
            urllib.request.urlopen(urllib.request.Request(bucket, method="PUT"), timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the S3 server does not answer")
