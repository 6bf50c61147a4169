"""A real gateway on a port, over the real Redis and line; a thread stands in for the two kinds of workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import redis
from werkzeug.serving import make_server

from client import Client, RetryPolicy
from contracts.errors import NotT1w
from contracts.job import Claim
from contracts.states import Stage
from gateway.app import create_app
from gateway.dicomweb import closing
from gateway.dicomweb.settings import InboxSettings
from gateway.resources import resources
from gateway.settings import Settings
from jobstore import deployed
from jobstore.result_cache import CacheEntry, cache_key
from jobstore.store import JobStore
from runtime.blobs import BlobStore, explanation_path, sheet_path, stack_path
from runtime.redis_connections import connect
from tests.integration.gateway.conftest import MODEL, PIPELINE, head, maps, result
from tests.support.hospital import Hospital, configure

HIPPOCAMP = Path(sys.executable).parent / "hippocamp"
REFUSED_SEED = 13
"""Volumes of this seed do not pass the stand-in's quality gate."""


def nifti(seed: int = 0) -> bytes:
    """A small NIfTI-1 that no other seed makes."""
    voxels = np.random.default_rng(seed).integers(0, 100, (8, 9, 10)).astype(np.int16)
    voxels[0, 0, 0] = seed
    return bytes(nib.Nifti1Image(voxels, np.diag([2.0, 2, 2, 1])).to_bytes())


@dataclass
class Carrier:
    """Moves jobs through the real line and stores what workers store; the answer is always the same."""

    redis_url: str
    blobs: BlobStore
    stop: threading.Event = field(default_factory=threading.Event)
    pause: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.client = connect(self.redis_url)
        self.job_store = JobStore(self.client)
        self.stack, self.explanation = head().to_bytes(), maps().to_bytes()
        self.refused = nifti(REFUSED_SEED)

    def run(self) -> None:
        """Until told to stop."""
        deployed.publish(self.client, "pipeline", PIPELINE)
        deployed.publish(self.client, "model", MODEL)
        while not self.stop.wait(0.005):
            for what in ("preprocess", "model_server"):
                deployed.record_heartbeat(self.client, what)
            if self.pause.is_set():
                continue
            for claim in self.job_store.claim(Stage.PREPROCESS, "stand-in", limit=16):
                self._prepare(claim)
            for claim in self.job_store.claim(Stage.INFER, "stand-in", limit=16):
                self._score(claim)

    def _prepare(self, claim: Claim) -> None:
        if self.blobs.get(claim.record["input_blob"]) == self.refused:
            self.job_store.fail(claim, NotT1w("the tissue contrast is 0.2"))
            return
        where = stack_path(claim.job.site, claim.job.artifact_prefix, PIPELINE)
        self.blobs.put(where, self.stack)
        self.blobs.put(sheet_path(claim.job.site, claim.job.artifact_prefix, PIPELINE), b"a sheet")
        fields = {"stack_blob": where, "pipeline_digest": PIPELINE, "quality": "{}"}
        self.job_store.advance(
            claim, Stage.INFER, fields | {"seconds_preprocess": json.dumps({"strip": 0.1})}
        )

    def _score(self, claim: Claim) -> None:
        site, content = claim.job.site, claim.job.text("content_digest")
        shown = explanation_path(site, claim.job.artifact_prefix, pipeline=PIPELINE, model=MODEL)
        self.blobs.put(shown, self.explanation)
        text = result().model_dump_json()
        kept = CacheEntry(cache_key(site, content, pipeline=PIPELINE, model=MODEL), text, 60)
        fields = {"result": text, "explanation_blob": shown, "model_digest": MODEL}
        self.job_store.succeed(claim, fields, cache=kept)


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    return Settings(
        redis_url=redis_url,
        blobs=str(tmp_path / "blobs"),
        max_upload_bytes=4 << 20,
        site="here",
        inbox=InboxSettings(quiet_seconds=0.5),
    )


@pytest.fixture
def hospital(redis_client: redis.Redis) -> Hospital:
    """The configured site, with default quotas, whose key every client here sends."""
    return configure(redis_client, "here")


@pytest.fixture
def carrier(settings: Settings, redis_client: redis.Redis) -> Iterator[Carrier]:
    carrier = Carrier(settings.redis_url, BlobStore(settings.blobs))
    thread = threading.Thread(target=carrier.run)
    thread.start()
    yield carrier
    carrier.stop.set()
    thread.join(60)
    carrier.client.close()


@pytest.fixture
def url(settings: Settings, carrier: Carrier, hospital: Hospital) -> Iterator[str]:
    """Where the gateway listens; it has a configured site, so that nobody is served without a key."""
    app, stopped = create_app(settings), threading.Event()
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with app.app_context():
        closer = closing.start(resources(), stopped)
    yield f"http://127.0.0.1:{server.port}"
    stopped.set()
    closer.join(60)
    server.shutdown()
    thread.join(60)
    server.server_close()


@pytest.fixture
def client(url: str, hospital: Hospital) -> Iterator[Client]:
    with Client(url, key=hospital.key, retry_policy=RetryPolicy(retries=2, first_seconds=0.05)) as client:
        yield client


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(url: str, hospital: Hospital) -> dict[str, str]:
    """What the command finds around it."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith("HIPPOCAMP_") and "proxy" not in k.lower()
    }
    return kept | hospital.environment | {"HIPPOCAMP_URL": url, "NO_COLOR": "1", "COLUMNS": "160"}


def runner(program: Path, environment: dict[str, str], folder: Path) -> Run:
    """Runs an installed command in a folder, as a shell does."""

    def run(*words: object, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [program, *map(str, words)],
            cwd=folder,
            env=environment,
            input=stdin,
            capture_output=True,
            timeout=300,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode()
        )

    return run


@pytest.fixture
def hippocamp(environment: dict[str, str], tmp_path: Path) -> Run:
    return runner(HIPPOCAMP, environment, tmp_path)


@pytest.fixture
def admin(environment: dict[str, str], tmp_path: Path) -> Run:
    return runner(HIPPOCAMP.with_name("hippocamp-admin"), environment, tmp_path)


@pytest.fixture
def pacs(environment: dict[str, str], tmp_path: Path) -> Run:
    return runner(HIPPOCAMP.with_name("hippocamp-pacs"), environment, tmp_path)
