"""One call of a WSGI application for an ASGI request whose body is there (PEP 3333)."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

Scope = Mapping[str, Any]
Environ = dict[str, Any]
Application = Callable[[Environ, Any], Iterable[bytes]]


@dataclass
class HttpAnswer:
    """What the application said; `environ` holds what it left for the front."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    environ: Environ = field(repr=False, default_factory=dict)

    def without(self, *names: bytes) -> list[tuple[bytes, bytes]]:
        """Its headers but for these."""
        return [(name, value) for name, value in self.headers if name not in names]


def environ_of(scope: Scope, body: IO[bytes], size: int | None) -> Environ:
    """The request's environment; `size` None for a request without a body."""
    host, port = (scope.get("server") or ("", None))[:2]
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host or "localhost",
        "SERVER_PORT": str(port or 80),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": _address(scope),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if size is not None:
        environ["CONTENT_LENGTH"] = str(size)
    _put_headers(environ, scope["headers"])
    return environ


def call(application: Application, environ: Environ) -> HttpAnswer:
    """The whole answer; whatever the application raises."""
    begun: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, headers: list[tuple[str, str]], _error: Any = None) -> None:
        begun.append((status, headers))

    answer = application(environ, start)
    try:
        body = b"".join(answer)
    finally:
        if close := getattr(answer, "close", None):
            close()
    status, headers = begun[-1]
    return HttpAnswer(int(status[:3]), encoded(headers), body, environ)


def encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Header fields as ASGI wants them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def header(scope: Scope, wanted: bytes) -> bytes | None:
    """The value of a field that may be sent once; None when it was not, or more than once."""
    found = [value for name, value in scope["headers"] if name == wanted]
    return found[0] if len(found) == 1 else None


def _put_headers(environ: Environ, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Fields with an underscore are left out: they would stand for those with a hyphen."""
    for raw, value in headers:
        if b"_" in raw or raw in {b"content-length", b"transfer-encoding"}:
            continue
        name = raw.decode("latin-1").upper().replace("-", "_")
        key, text = (name if name == "CONTENT_TYPE" else f"HTTP_{name}"), value.decode("latin-1")
        if key in environ:
            text = f"{environ[key]}{'; ' if name == 'COOKIE' else ','}{text}"
        environ[key] = text


def _address(scope: Scope) -> str:
    """The client's, "" for a Unix socket or when a proxy sent something else."""
    text = str((scope.get("client") or ("",))[0])
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
