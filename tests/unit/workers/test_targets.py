"""Addresses a webhook must not reach, in every disguise IPv6 offers."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from workers.delivery.targets import TargetRefused, is_public, resolve

INWARD = """
127.0.0.1 127.8.8.8 0.0.0.0 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 100.127.255.255
192.0.0.1 192.0.2.1 198.18.0.1 198.51.100.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 192.88.99.1
::1 :: fe80::1 fe80::1%eth0 fc00::1 fd12::1 ff02::1 ff0e::1 fec0::1 2001:db8::1
::ffff:10.0.0.1 ::ffff:127.0.0.1 ::127.0.0.1 ::8.8.8.8 64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1::1
2002:7f00:1:: 2002:808:808::1 2001:0:4136:e378::1
::ffff:0:127.0.0.1 ::ffff:0:8.8.8.8 5f00::1 3fff::1 2001:20::1 100::1 4000::1 abcd::1
"""
PUBLIC = "8.8.8.8 93.184.215.14 100.63.255.255 100.128.0.1 2606:4700::1111 2a00:1450:4001:800::200e"


def answer(*addresses: str) -> object:
    def getaddrinfo(host: str, port: int, **_: object) -> list:
        return [(socket.AF_UNSPEC, socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses]

    return getaddrinfo


@pytest.mark.parametrize("text", INWARD.split())
def test_inward_addresses_are_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answer(text))
    with pytest.raises(TargetRefused):
        resolve("hooks.example", 443, allow=())


@pytest.mark.parametrize("text", PUBLIC.split())
def test_public_addresses_pass(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_public(ipaddress.ip_address(text))
    monkeypatch.setattr(socket, "getaddrinfo", answer(text))
    assert resolve("hooks.example", 443, allow=()) == [ipaddress.ip_address(text)]


def test_one_bad_address_among_good_ones_refuses_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answer("8.8.8.8", "10.0.0.1"))
    with pytest.raises(TargetRefused):
        resolve("hooks.example", 443, allow=())


def test_an_allowed_network_passes_also_when_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answer("::ffff:10.0.0.1"))
    allow = (ipaddress.ip_network("10.0.0.0/24"),)
    assert resolve("hooks.example", 443, allow=allow) == [ipaddress.ip_address("10.0.0.1")]


@pytest.mark.parametrize("text", ["0x7f000001", "2130706433", "127.1", "017700000001"])
def test_numbers_that_the_resolver_reads_as_loopback(text: str) -> None:
    with pytest.raises(TargetRefused):
        resolve(text, 80, allow=())
