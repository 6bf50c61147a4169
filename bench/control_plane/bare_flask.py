"""Three bare routes on the gateway's own server: what answering costs when nothing is asked of anybody."""

from __future__ import annotations

import json
from collections.abc import Iterator

from flask import Flask, Response, request

_BODY = json.dumps({f"field{n}": f"a value of a job, number {n}" for n in range(30)})


def create_app() -> Flask:
    """`/poll` answers about 1 kB of JSON, `/hit` reads the body first, `/event` streams it as one event."""
    app = Flask(__name__)

    @app.get("/poll")
    def poll() -> Response:
        return Response(_BODY, content_type="application/json")

    @app.post("/hit")
    def hit() -> Response:
        request.get_data()
        return Response(_BODY, content_type="application/json")

    @app.get("/event")
    def event() -> Response:
        def flow() -> Iterator[str]:
            yield "retry: 2000\n\n"
            yield f"id: 1\nevent: job\ndata: {_BODY}\n\n"

        return Response(flow(), content_type="text/event-stream")

    return app
