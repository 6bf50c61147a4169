"""A free port belongs to who got it: not to another process, and not to an outgoing connection."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import ports
from deploy.local.ports import free_ports

ASK = "from deploy.local.ports import free_ports; print(*free_ports(200), flush=True); input()"


def test_no_two_processes_get_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both look in the same order, whoever asks first."""
    asked = f"import os; os.getpid = lambda: 7; {ASK}"
    with subprocess.Popen(
        [sys.executable, "-c", asked], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        theirs = {int(port) for port in other.stdout.readline().split()}
        monkeypatch.setattr(ports.os, "getpid", lambda: 7)
        ours = set(free_ports(200))
        other.stdin.write("\n")
    assert len(ours) == len(theirs) == 200
    assert not ours & theirs


def test_they_can_be_listened_on_and_are_no_ephemeral_ones() -> None:
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", port)):
        pass
    told = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if told.exists():
        assert int(told.read_text().split()[0]) > ports.LAST
    assert port <= ports.LAST


def test_a_port_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = free_ports(1)
    monkeypatch.setattr(ports, "_given", set())
    with socket.create_server(("127.0.0.1", first)):
        assert first not in free_ports(300)
