"""`hippocamp webhook listen`: a receiver that checks signatures, for trying out and for small scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TypedDict, Unpack

import click

from client.context import Session, put_json
from client.errors import BadSignature
from client.webhooks import verify

_MOST_BODY = 1 << 16


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
    with HTTPServer((options["host"], options["port"]), _Handler) as server:
        click.echo(f"listening on http://{options['host']}:{server.server_port}", err=True)
        with _registered(session, options["public_url"], options["secret"]) as key:
            if not key:
                raise click.UsageError(
                    "Give --secret (or HIPPOCAMP_WEBHOOK_SECRET), or --register an address"
                )
            inbox, count = _Inbox(key), options["count"]
            server.inbox = inbox  # type: ignore[attr-defined]
            while count is None or inbox.taken < count:
                server.handle_request()


@contextmanager
def _registered(session: Session, public_url: str | None, secret: str) -> Iterator[str]:
    if public_url is None:
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
class _Inbox:
    """Events taken so far; a repeated `webhook-id` is acknowledged and not printed again."""

    secret: str
    taken: int = 0
    seen: set[str] = field(default_factory=set)

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        """Print it once; BadSignature when it is not from the service."""
        event = verify(body, headers, self.secret)
        message_id = {k.lower(): v for k, v in headers.items()}["webhook-id"]
        if message_id not in self.seen:
            self.seen.add(message_id)
            self.taken += 1
            put_json(event)


class _Handler(BaseHTTPRequestHandler):
    timeout = 10

    def do_POST(self) -> None:
        """Check, print, answer."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MOST_BODY:
            self._answer(413, "no length, or too long")
            return
        try:
            inbox: _Inbox = self.server.inbox  # type: ignore[attr-defined]
            inbox.take(self.rfile.read(int(length)), dict(self.headers.items()))
        except (BadSignature, ValueError) as error:
            click.echo(f"refused: {error}", err=True)
            self._answer(401, "the signature is not right")
            return
        self._answer(200, "taken")

    def _answer(self, status: int, text: str) -> None:
        body = json.dumps({"detail": text}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing; events are the output."""
