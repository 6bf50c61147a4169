"""Celery as it comes: its defaults over Redis as broker and result backend, behind a threaded Flask.

celery worker --concurrency=2 (prefork, prefetch multiplier 4, early acknowledgement)
gunicorn -w 1 --threads 16
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from celery import Celery, signals
from flask import Flask, request

URL = os.environ.get("PEER_REDIS", "redis://127.0.0.1:6379/0")
celery = Celery("plain", broker=URL, backend=URL)


@signals.worker_process_init.connect
def prepare_child(**_: object) -> None:
    """Models are loaded before the first task."""
    from bench.peers.functions import load

    load()


@celery.task(name="score")
def score(path: str) -> dict[str, object]:
    """The volume in the file; `done` is when it was."""
    from bench.peers.functions import answer

    try:
        return {**answer(Path(path)), "done": time.time()}
    finally:
        Path(path).unlink(missing_ok=True)


def create_app() -> Flask:
    """POST / answers 202 with an id; GET /<id> answers 200 once it is done."""
    app = Flask(__name__)

    @app.post("/")
    def submit() -> tuple[dict[str, str], int]:
        handle, name = tempfile.mkstemp(suffix=".nii.gz")
        with os.fdopen(handle, "wb") as out:
            while piece := request.stream.read(1 << 20):
                out.write(piece)
        return {"id": str(score.delay(name).id)}, 202

    @app.get("/<task_id>")
    def read(task_id: str) -> tuple[dict[str, object], int]:
        found = celery.AsyncResult(task_id)
        if not found.ready():
            return {}, 202
        return (dict(found.result), 200) if found.successful() else ({"error": str(found.result)}, 500)

    @app.get("/ready")
    def ready() -> str:
        return "ok"

    return app
