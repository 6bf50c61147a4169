"""What a request's head alone decides, before its body comes: key, scope, rate, room, type, size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Flask, current_app, request
from werkzeug.exceptions import RequestEntityTooLarge

from gateway.http.operations import operation_of
from gateway.server.bodies import SMALL
from gateway.server.handover import ALLOWANCE, ARRIVAL, HEAD_ONLY, SITE
from gateway.server.wsgi import Environ, HttpAnswer, encoded
from gateway.uploads.receive import RAW
from imaging.sniff import is_known


@dataclass(frozen=True)
class Admitted:
    """The body may come. carried: what the call is told so that nothing is counted twice.

    raw: the body is a volume as it is, so its first bytes tell whether the rest is worth taking.
    """

    site: str
    most_bytes: int
    raw: bool
    carried: dict[str, Any]

    def refuses(self, first: bytes) -> bool:
        """Whether the first bytes (imaging.sniff.PEEK of them) show that the call will refuse the volume."""
        return self.raw and not is_known(first)


def admit(app: Flask, environ: Environ) -> Admitted | HttpAnswer:
    """Run what precedes a view, and the view's look at the head (`Operation.head`); an answer refuses it."""
    environ[HEAD_ONLY] = True
    with app.request_context(environ):
        try:
            early = app.preprocess_request()
            if early is None:
                return _admitted(environ)
            response = app.make_response(early)
        except Exception as error:  # noqa: BLE001  answered by the handlers that Flask would ask
            response = app.make_response(app.handle_user_exception(error))
        response = app.process_response(response)
        return HttpAnswer(response.status_code, encoded(response.headers.to_wsgi_list()), response.get_data())


def _admitted(environ: Environ) -> Admitted:
    if request.routing_exception:
        raise request.routing_exception
    spec = operation_of(current_app.view_functions[request.endpoint or ""])
    most = spec.head() if spec and spec.head else SMALL
    if (request.content_length or 0) > most:
        raise RequestEntityTooLarge
    raw = bool(spec and spec.uploads) and request.mimetype in {"", *RAW}
    carried = {name: environ[name] for name in (ALLOWANCE, ARRIVAL) if name in environ}
    return Admitted(environ.get(SITE, ""), most, raw, carried)
