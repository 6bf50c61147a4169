"""Posting to a stranger: one deadline, no redirects, no proxies, the checked address and the given name."""

from __future__ import annotations

import ipaddress

import httpcore
import pytest

from tests.support.receiver import SLOW_ANSWER, Receiver
from workers.delivery.outgoing import post
from workers.delivery.targets import TargetRefused

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


def test_host_header_keeps_the_name_and_the_body_arrives() -> None:
    with Receiver() as receiver:
        url = receiver.url.replace("127.0.0.1", "localhost")
        allow = (*LOOPBACK, ipaddress.ip_network("::1/128"))
        assert post(url, b"{}", headers={"x-a": "1"}, allow=allow, seconds=60) == 204
    headers, body = receiver.received[0]
    assert headers["host"].startswith("localhost:")
    assert (headers["x-a"], body) == ("1", b"{}")


def test_loopback_is_refused_unless_allowed() -> None:
    with Receiver() as receiver, pytest.raises(TargetRefused):
        post(receiver.url, b"{}", headers={}, allow=(), seconds=60)
    assert receiver.received == []


def test_a_redirect_is_reported_not_followed() -> None:
    with Receiver() as inner, Receiver(status=307, location=inner.url) as receiver:
        assert post(receiver.url, b"{}", headers={}, allow=LOOPBACK, seconds=60) == 307
    assert inner.received == []


def test_a_dripping_receiver_meets_the_deadline() -> None:
    with Receiver(drip=0.05) as receiver:
        with pytest.raises(httpcore.TimeoutException):
            post(receiver.url, b"{}", headers={}, allow=LOOPBACK, seconds=0.5)
        assert receiver.dripped < len(SLOW_ANSWER) / 2, "it was not waited for until its end"


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Receiver() as receiver:
        assert post(receiver.url, b"{}", headers={}, allow=LOOPBACK, seconds=60) == 204


@pytest.mark.parametrize("url", ["ftp://example.org/", "/nowhere", "file:///etc/passwd"])
def test_only_http(url: str) -> None:
    with pytest.raises(httpcore.UnsupportedProtocol):
        post(url, b"{}", headers={}, allow=LOOPBACK, seconds=1)
