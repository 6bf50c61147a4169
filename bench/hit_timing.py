"""Does the time of an answer tell one site what another holds? A statistical test."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import redis
from flask.testing import FlaskClient
from scipy.stats import mannwhitneyu

from bench.fairness import empty_redis
from contracts import api_keys, deployed, sites
from contracts.answer_cache import CacheEntry
from contracts.api_keys import Scope
from contracts.line import Line
from contracts.result import cache_key
from contracts.states import Stage
from gateway.app import create_app
from gateway.settings import Settings

MODEL, PIPELINE = "ab" * 32, "cd" * 32
SUSPICIOUS = 0.001
"""A probability below which equal times would be a strange accident."""


@dataclass(frozen=True)
class Times:
    """Seconds of submissions at one site: of bytes that `known` has, and of bytes that nobody has."""

    held: list[float]
    fresh: list[float]

    @property
    def probability(self) -> float:
        """Of a difference like this, or a larger one, between equals (Mann-Whitney, two-sided)."""
        return float(mannwhitneyu(self.held, self.fresh).pvalue)

    def told(self, who: str) -> str:
        """One line."""
        held, fresh = (1000 * float(np.median(times)) for times in (self.held, self.fresh))
        return f"{who}: median {held:.2f} ms when held, {fresh:.2f} ms when new, p = {self.probability:.2g}"


def volume(seed: int) -> bytes:
    """A small head of noise; its own for each seed."""
    voxels = np.random.default_rng(seed).integers(0, 900, (64, 64, 64)).astype(np.int16)
    return bytes(nib.Nifti1Image(voxels, np.diag([3.0, 3, 3, 1])).to_bytes())


def hold(client: redis.Redis, http: FlaskClient, headers: dict[str, str], body: bytes) -> None:
    """Let the site have a finished answer for these bytes, so that it is in its cache."""
    http.post("/v1/jobs", data=body, headers=headers)
    line = Line(client)
    (claim,) = line.claim(Stage.PREPROCESS, "bench")
    line.advance(claim, Stage.INFER)
    (claim,) = line.claim(Stage.INFER, "bench")
    key = cache_key("north", claim.job.text("content_digest"), pipeline=PIPELINE, model=MODEL)
    entry = CacheEntry(key, '{"cdr": "0", "label": "normal", "uncertain": false}', 3600)
    line.succeed(claim, {"result": entry.value}, cache=entry)


def spent(http: FlaskClient, headers: dict[str, str], body: bytes) -> float:
    """Seconds until the answer."""
    begun = time.perf_counter()
    answer = http.post("/v1/jobs", data=body, headers=headers)
    seconds = time.perf_counter() - begun
    if answer.status_code not in {200, 202}:
        raise SystemExit(answer.text)
    return seconds


def compare(http: FlaskClient, headers: dict[str, str], held: list[bytes], seed: int) -> Times:
    """Held and new bytes in random order."""
    random = np.random.default_rng(seed)
    new = [volume(seed + n) for n in range(len(held))]
    times: dict[bool, list[float]] = {True: [], False: []}
    for known, n in random.permutation([(k, n) for k in (0, 1) for n in range(len(held))]).tolist():
        times[bool(known)].append(spent(http, headers, held[n] if known else new[n]))
    return Times(times[True], times[False])


def main() -> int:
    """`python -m bench.hit_timing [--count N] [--check]`: 1 when times tell, or the test is blind."""
    parser = argparse.ArgumentParser(prog="bench.hit_timing", description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    with empty_redis() as client, tempfile.TemporaryDirectory() as folder:
        deployed.publish(client, "pipeline", PIPELINE)
        deployed.publish(client, "model", MODEL)
        address = client.get_connection_kwargs()
        url = f"redis://{address['host']}:{address['port']}/0"
        http = create_app(Settings(redis_url=url, blobs=f"{folder}/blobs")).test_client()
        headers = {name: _site(client, name) for name in ("north", "south")}
        bodies = [volume(n) for n in range(given.count)]
        for body in bodies:
            hold(client, http, headers["north"], body)
        across = compare(http, headers["south"], bodies, 1_000_000)
        own = compare(http, headers["north"], bodies, 2_000_000)
    print(across.told("another site's bytes"))
    print(own.told("the site's own bytes (the test must see these)"))
    private = across.probability > SUSPICIOUS > own.probability
    print(f"p_across={across.probability:.3g} p_own={own.probability:.3g} private={private}")
    return 0 if private or not given.check else 1


def _site(client: redis.Redis, name: str) -> dict[str, str]:
    sites.save(client, sites.Site(name=name, requests_per_second=0.0))
    key, _ = api_keys.issue(client, name, frozenset(Scope), now_ms=int(time.time() * 1000))
    return {"Authorization": f"Bearer {key}", "Content-Type": "application/octet-stream"}


if __name__ == "__main__":
    sys.exit(main())
