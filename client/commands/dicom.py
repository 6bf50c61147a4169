"""`hippocamp dicom listen`: a C-STORE receiver in front of the gateway."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TypedDict, Unpack

import click

from client.connection import Connection
from client.context import Session
from client.inbox import Inbox
from contracts.telemetry import configure_logging


class Options(TypedDict):
    """What the command line may say."""

    spool: Path
    title: str
    host: str
    port: int
    quiet: float


@click.group()
def dicom() -> None:
    """DICOM: take series from modalities and PACS."""


@dicom.command()
@click.argument("senders", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--spool", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder that survives."
)
@click.option("--title", default="HIPPOCAMP", show_default=True, help="Our AE title.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=11112, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--quiet", default=10.0, show_default=True, help="Seconds without an instance that end a series."
)
@click.pass_obj
def listen(session: Session, /, senders: Path, **options: Unpack[Options]) -> None:
    """Take MR series by C-STORE from the AE titles in SENDERS (TOML: TITLE = "API key")."""
    from client.listener import Listener, read_senders  # needs pynetdicom: pip install 'hippocamp[dicom]'

    configure_logging("listener")
    url = Connection(session.url).address
    listener = Listener(
        url, read_senders(senders), Inbox(options["spool"]), options["title"], options["quiet"]
    )
    server, stopped = listener.start(options["host"], options["port"]), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    click.echo(
        f"{options['title']} listens on {options['host']}:{options['port']}, forwards to {url}", err=True
    )
    pause = 1.0
    while not stopped.wait(pause):
        listener.forward()
        pause = min(30.0, 2 * pause) if listener.inbox.unsent() else 1.0
    server.shutdown()
