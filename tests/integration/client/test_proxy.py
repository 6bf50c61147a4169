"""Behind a hospital's proxy: the client goes through it, and past it for the hosts of NO_PROXY."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.integration.client.conftest import Run, nifti


class Proxy(ThreadingHTTPServer):
    """A forward proxy for plain http (RFC 9112, 3.2.2: requests carry the whole address)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.seen: list[str] = []


class _Forward(BaseHTTPRequestHandler):
    server: Proxy

    def _forward(self) -> None:
        self.server.seen.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {k: v for k, v in self.headers.items() if k.lower() not in {"host", "proxy-connection"}}
        with httpx.Client(trust_env=False, timeout=120) as http:
            answer = http.request(self.command, self.path, content=body, headers=headers)
        self.send_response(answer.status_code)
        for name in ("content-type", "location", "retry-after"):
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def do_GET(self) -> None:
        self._forward()

    def do_POST(self) -> None:
        self._forward()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join(60)


def test_a_proxy_of_the_environment_is_used(
    hippocamp: Run, environment: dict[str, str], proxy: Proxy, url: str, tmp_path: Path
) -> None:
    (tmp_path / "head.nii").write_bytes(nifti(3))
    environment["http_proxy"] = f"http://127.0.0.1:{proxy.server_port}"
    done = hippocamp("submit", "head.nii", "--wait")
    assert done.returncode == 0, done.stderr
    assert f"POST {url}/v1/jobs" in proxy.seen
    assert any(line.startswith(f"GET {url}/v1/jobs/") for line in proxy.seen)


def test_no_proxy_goes_past_it(hippocamp: Run, environment: dict[str, str], proxy: Proxy) -> None:
    environment["http_proxy"] = f"http://127.0.0.1:{proxy.server_port}"
    environment["no_proxy"] = "127.0.0.1"
    assert hippocamp("jobs").returncode == 0
    assert proxy.seen == []
