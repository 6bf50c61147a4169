"""A synchronous Flask application: one gunicorn sync worker a core, models loaded before the first request.

gunicorn -w 2 -k sync --timeout 120 --backlog 2048
"""

from __future__ import annotations

from flask import Flask, request

from bench.peers.functions import answer_bytes, load


def create_app() -> Flask:
    """POST / with the volume as its body."""
    load()
    app = Flask(__name__)

    @app.post("/")
    def score() -> dict[str, list[float]]:
        return answer_bytes(request.get_data())

    @app.get("/ready")
    def ready() -> str:
        return "ok"

    return app
