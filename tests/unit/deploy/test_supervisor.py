"""Starting, watching and stopping processes: the one clear line when something is in the way."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from deploy.local.services import Service
from deploy.local.settings import LocalSettings
from deploy.local.supervisor import LocalSystem, StartFailed
from tests.support.waiting import eventually


@pytest.fixture
def settings(tmp_path: Path) -> LocalSettings:
    return LocalSettings(start_seconds=180).beside(tmp_path)


def listener(settings: LocalSettings) -> Service:
    """Opens the gateway's port, starts a child of its own and sleeps."""
    port = settings.ports.gateway
    script = (
        "import socket, subprocess, sys, time;"
        f"s = socket.create_server(('127.0.0.1', {port}));"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "time.sleep(60)"
    )
    return Service(name="listener", command=[sys.executable, "-c", script], ports=[port], ready_port=port)


def mayfly(settings: LocalSettings) -> Service:
    """Dies at once with a reason."""
    script = "import sys; sys.exit('no such database')"
    return Service(name="mayfly", command=[sys.executable, "-c", script], ready_port=settings.ports.redis)


def test_a_busy_port_is_named_with_its_holder(settings: LocalSettings) -> None:
    with socket.create_server(("127.0.0.1", settings.ports.gateway)), pytest.raises(StartFailed) as failure:
        LocalSystem(settings, [listener]).up()
    text = str(failure.value)
    assert f"listener needs port {settings.ports.gateway}" in text
    assert "\n" not in text


def test_a_service_that_dies_is_named_with_its_last_words(settings: LocalSettings) -> None:
    stack = LocalSystem(settings, [listener, mayfly])
    with pytest.raises(StartFailed) as failure:
        stack.up()
    assert "mayfly ended with status 1: no such database" in str(failure.value)
    assert "\n" not in str(failure.value)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", settings.ports.gateway)) != 0, (
            "the first service was left running"
        )


def test_down_takes_grandchildren_along(settings: LocalSettings) -> None:
    stack = LocalSystem(replace(settings, start_seconds=5), [listener])
    settings.folder.mkdir(exist_ok=True)
    with pytest.raises(StartFailed, match="did not get ready"):
        stack.up()  # nobody answers /readyz
    assert stack.remembered() == []
    mark = str(settings.ports.gateway)
    eventually(lambda: not [p for p in psutil.process_iter(["cmdline"]) if mark in str(p.info["cmdline"])])


def test_a_pid_that_now_belongs_to_another_is_left_alone(settings: LocalSettings) -> None:
    stack = LocalSystem(settings, [listener])
    stack.memory.parent.mkdir(exist_ok=True)
    me = psutil.Process()
    stack.memory.write_text(
        f'[{{"name": "listener", "pid": {me.pid}, "created": {me.create_time() - 500}, "stop_seconds": 1}}]'
    )
    assert not stack.is_up()
    stack.down()
    assert me.is_running()


def test_free_ports_differ(settings: LocalSettings) -> None:
    ports = vars(settings.ports)
    assert len(set(ports.values())) == len(ports)
