"""`python -m deploy.local up|down|status|keep|demo`: what the Makefile calls."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.table import Table

from deploy.local import reconciler
from deploy.local.demo import demonstrate
from deploy.local.sample import sample_volume
from deploy.local.settings import LocalSettings
from deploy.local.supervisor import LocalSystem


def main() -> None:
    """Run one command; every failure is one line on stderr and a non-zero exit."""
    parser = argparse.ArgumentParser(prog="deploy.local", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "status", "keep", "demo"])
    parser.add_argument("--volume", type=Path, help="demo: another volume than the sample")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    stack, console = LocalSystem(LocalSettings()), Console(soft_wrap=True, highlight=False)
    if arguments.command == "up":
        up(stack, console)
        reconciler.start(stack.settings)
    elif arguments.command == "keep":
        reconciler.keep(stack)
    elif arguments.command == "down":
        reconciler.stop(stack.settings)
        stack.down()
        console.print("everything is stopped; data stays in", str(stack.settings.folder))
    elif arguments.command == "status":
        sys.exit(status(stack, console))
    else:
        demo(stack.settings, console, arguments.volume)


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  signal handler's signature
    raise SystemExit(128 + number)


def up(stack: LocalSystem, console: Console) -> None:
    """Start what is not running."""
    if stack.is_up():
        console.print(f"already running: {stack.settings.gateway_url}")
        return
    reconciler.stop(stack.settings)
    console.print("starting Redis, TorchServe, gateway and workers ...")
    stack.up()
    console.print(f"ready: {stack.settings.gateway_url}   (stop it with `make down`)")


def status(stack: LocalSystem, console: Console) -> int:
    """Print one row a service; 0 when all of them live, 1 otherwise."""
    table, again = Table("service", "state", "pid", "restarts", "log"), reconciler.restarts(stack.settings)
    for item in stack.remembered():
        state = "running" if item.process() else "[red]ended[/red]"
        table.add_row(
            item.name, state, str(item.pid), str(again.get(item.name, 0)), str(stack.log(item.name))
        )
    console.print(table)
    if not reconciler.living(stack.settings):
        console.print("nothing starts again what ends: no reconciler runs (`make up` starts one)")
    if stack.is_up():
        console.print(f"{stack.settings.gateway_url} is up")
        return 0
    console.print("the system is not running: start it with `make up`")
    return 1


def demo(settings: LocalSettings, console: Console, volume: Path | None) -> None:
    """Start a system of its own beside any that runs, with a site and its key, and stop it again."""
    path, folder = volume or sample_volume(), settings.folder / "demo"
    stack = LocalSystem(settings.beside(folder / "system"))
    stack.down()
    shutil.rmtree(stack.settings.folder, ignore_errors=True)
    try:
        console.print("starting Redis, TorchServe, gateway and workers ...")
        stack.up()
        demonstrate(stack.settings, path, folder, console)
    finally:
        stack.down()
        console.print("everything is stopped again; `make up` starts a system that stays")


if __name__ == "__main__":
    main()
