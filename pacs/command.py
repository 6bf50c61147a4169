"""The `hippocamp-pacs` command: a C-STORE receiver before the gateway, and results to a PACS."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path
from typing import TypedDict, Unpack

import click

from client.command import Program, service_options
from client.commands.webhook import registered, serving
from client.connection import Connection
from client.context import Session
from client.hooks import HookServer
from client.version import VERSION
from pacs.inbox import Spool
from runtime.logs import configure_logging


class Options(TypedDict):
    """What the command line may say."""

    spool: Path
    title: str
    host: str
    port: int
    keep: str


class PushOptions(TypedDict):
    """What the command line of `push` may say."""

    secret: str
    public_url: str | None
    host: str
    port: int
    title: str
    authorization: str
    unmatched: bool


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@service_options
def main() -> None:
    """DICOM: take series from modalities and PACS, and push results back."""


@main.command()
@click.argument("senders", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--spool", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder that survives."
)
@click.option("--title", default="HIPPOCAMP", show_default=True, help="Our AE title.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=11112, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--keep",
    default="",
    type=click.Choice(["", "age", "sex", "age,sex"]),
    help="Note these of the patient with the job; everything else that names a person is dropped here.",
)
@click.pass_obj
def listen(session: Session, /, senders: Path, **options: Unpack[Options]) -> None:
    """Take MR series by C-STORE from the AE titles in SENDERS (TOML: TITLE = "API key")."""
    from pacs.listener import Listener, read_senders

    _log_events("listener")
    url = Connection(session.url).address
    listener = Listener(
        url, read_senders(senders), Spool(options["spool"]), options["title"], options["keep"]
    )
    server, stopped = listener.start(options["host"], options["port"]), _until_signalled()
    click.echo(
        f"{options['title']} listens on {options['host']}:{options['port']}, forwards to {url}", err=True
    )
    listener.run(stopped)
    server.shutdown()


@main.command()
@click.argument("pacs", metavar="PACS")
@click.option("--secret", envvar="HIPPOCAMP_WEBHOOK_SECRET", default="", help="The endpoint's whsec_ secret.")
@click.option(
    "--register",
    "public_url",
    help="Add this address as an endpoint, and remove it at the end: to try it out.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to take webhooks at.")
@click.option("--port", default=9001, show_default=True, type=click.IntRange(0, 65535))
@click.option("--title", default="HIPPOCAMP", show_default=True, help="Our AE title.")
@click.option(
    "--authorization",
    envvar="HIPPOCAMP_PACS_AUTHORIZATION",
    default="",
    help="Authorization header for a DICOMweb PACS; better given by the variable.",
)
@click.option("--unmatched", is_flag=True, help="Also results whose input was no DICOM: without a patient.")
@click.pass_obj
def push(session: Session, /, pacs: str, **options: Unpack[PushOptions]) -> None:
    """Store report and overlay of every succeeded job in a PACS: https://HOST/dicom-web or TITLE@HOST:PORT.

    Takes job events as a webhook endpoint, and answers one only when the PACS has stored its instances.
    """
    from pacs import Pusher, open_pacs

    _log_events("push")
    goal = open_pacs(pacs, calling=options["title"], authorization=options["authorization"])
    stopped = _until_signalled()
    with session.client() as client:
        pusher = Pusher(client, goal, options["unmatched"])
        with HookServer(options["host"], options["port"], secret="", take=pusher.take) as server:
            click.echo(f"takes webhooks at http://{options['host']}:{server.server_port}", err=True)
            with (
                registered(session, options["public_url"], options["secret"]) as server.secret,
                serving(server),
            ):
                stopped.wait()


def _until_signalled() -> threading.Event:
    """Set by SIGTERM or SIGINT."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    return stopped


def _log_events(service: str) -> None:
    """JSON lines; pynetdicom itself only warns: at INFO it prints patients' names out of queries."""
    configure_logging(service)
    logging.getLogger("pynetdicom").setLevel(logging.WARNING)


click.version_option(VERSION)(main)

if __name__ == "__main__":
    sys.exit(main())
