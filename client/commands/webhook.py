"""`hippocamp webhook`: the site's endpoints and deliveries, and a receiver that checks signatures."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypedDict, Unpack

import click

from client.context import Session, put_json
from client.hooks import Event, HookServer


class Options(TypedDict):
    """What the command line may say."""

    secret: str
    host: str
    port: int
    public_url: str | None
    count: int | None


@click.group()
def webhook() -> None:
    """Webhooks: job events pushed to you (Standard Webhooks 1.0.0)."""


@webhook.command()
@click.argument("url")
@click.pass_obj
def add(session: Session, url: str) -> None:
    """Add an endpoint; its secret is printed this once."""
    with session.client() as client:
        put_json(client.add_endpoint(url))


@webhook.command("list")
@click.pass_obj
def index(session: Session) -> None:
    """Your site's endpoints, one JSON line each."""
    _put_all(session, "/v1/webhook-endpoints", "endpoints")


@webhook.command()
@click.argument("endpoint_id")
@click.pass_obj
def enable(session: Session, endpoint_id: str) -> None:
    """Announce there again, after a 410 had disabled the endpoint."""
    with session.client() as client:
        put_json(client.enable_endpoint(endpoint_id))


@webhook.command()
@click.argument("endpoint_id")
@click.pass_obj
def remove(session: Session, endpoint_id: str) -> None:
    """Remove an endpoint; what it is still owed ends as failed."""
    with session.client() as client:
        client.remove_endpoint(endpoint_id)


@webhook.command()
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 200))
@click.pass_obj
def deliveries(session: Session, limit: int) -> None:
    """What was sent or is owed, newest first, one JSON line each."""
    _put_all(session, f"/v1/webhook-deliveries?limit={limit}", "deliveries")


@webhook.command()
@click.argument("delivery_id")
@click.pass_obj
def replay(session: Session, delivery_id: str) -> None:
    """Send a delivery that has ended once more."""
    with session.client() as client:
        put_json(client.replay_delivery(delivery_id))


@webhook.command()
@click.option("--secret", envvar="HIPPOCAMP_WEBHOOK_SECRET", default="", help="The endpoint's whsec_ secret.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=9000, show_default=True, type=click.IntRange(0, 65535), help="0: any free one."
)
@click.option("--register", "public_url", help="Add this address as an endpoint, and remove it at the end.")
@click.option("--count", type=click.IntRange(1), help="Stop after so many events.")
@click.pass_obj
def listen(session: Session, /, **options: Unpack[Options]) -> None:
    """Print every event whose signature is right, as one JSON line; answer 401 to all others."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    printer = _Printer(options["count"])
    with HookServer(options["host"], options["port"], secret="", take=printer.take) as server:
        click.echo(f"listening on http://{options['host']}:{server.server_port}", err=True)
        with registered(session, options["public_url"], options["secret"]) as server.secret, serving(server):
            printer.full.wait()


def _put_all(session: Session, path: str, items: str) -> None:
    """Every item of an answer's list, one JSON line each."""
    with session.client() as client:
        for item in client.get(path).json()[items]:
            put_json(item)


@contextmanager
def serving(server: HookServer) -> Iterator[None]:
    """Answer in a thread meanwhile."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(10)


@contextmanager
def registered(session: Session, public_url: str | None, secret: str) -> Iterator[str]:
    """The secret to check with: the given one, or that of an endpoint that lives for this long."""
    if public_url is None:
        if not secret:
            raise click.UsageError("Give --secret (or HIPPOCAMP_WEBHOOK_SECRET), or --register an address")
        yield secret
        return
    with session.client() as client:
        endpoint = client.add_endpoint(public_url)
        click.echo(f"registered {endpoint['id']} for {public_url}", err=True)
        try:
            yield str(endpoint["secret"])
        finally:
            client.remove_endpoint(str(endpoint["id"]))


@dataclass
class _Printer:
    """Prints each event once; a repeated `webhook-id` is acknowledged and not printed again."""

    count: int | None
    full: threading.Event = field(default_factory=threading.Event)
    seen: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, event: Event) -> None:
        """Print it unless it was seen."""
        with self.lock:
            if event.message_id in self.seen or self.full.is_set():
                return
            self.seen.add(event.message_id)
            put_json(event.body)
            if len(self.seen) == self.count:
                self.full.set()
