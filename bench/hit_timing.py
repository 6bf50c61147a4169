"""Does the time of an answer tell one site what another holds? A statistical test."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass, replace

import numpy as np
import redis
from flask.testing import FlaskClient
from scipy.stats import mannwhitneyu

from bench.fairness import empty_redis
from bench.scans import packed
from bench.site import Headers, Mode, configure
from contracts.states import Stage
from gateway.app import create_app
from gateway.settings import Settings
from jobstore import deployed
from jobstore.result_cache import CacheEntry, cache_key
from jobstore.sites import Site
from jobstore.store import JobStore

MODEL, PIPELINE = "ab" * 32, "cd" * 32
SITE = Site(name="north")
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


def hold(client: redis.Redis, http: FlaskClient, headers: Headers, body: bytes) -> None:
    """Let the site have a finished answer for these bytes, so that it is in its cache."""
    spent(http, headers, body)
    job_store = JobStore(client)
    (claim,) = job_store.claim(Stage.PREPROCESS, "bench")
    job_store.advance(claim, Stage.INFER)
    (claim,) = job_store.claim(Stage.INFER, "bench")
    key = cache_key("north", claim.job.text("content_digest"), pipeline=PIPELINE, model=MODEL)
    entry = CacheEntry(key, '{"cdr": "0", "label": "normal", "uncertain": false}', 3600)
    job_store.succeed(claim, {"result": entry.value}, cache=entry)


def spent(http: FlaskClient, headers: Headers, body: bytes) -> float:
    """Seconds until the answer."""
    begun = time.perf_counter()
    about = {**headers, "Content-Type": "application/octet-stream"}
    answer = http.post("/v1/jobs", data=body, headers=about)
    seconds = time.perf_counter() - begun
    if answer.status_code not in {200, 202}:
        raise SystemExit(answer.text)
    return seconds


def compare(http: FlaskClient, headers: Headers, count: int, seed: int) -> Times:
    """The scans 0 to `count`, which are held, and as many new ones in random order."""
    random = np.random.default_rng(seed)
    times: dict[bool, list[float]] = {True: [], False: []}
    for known, n in random.permutation([(k, n) for k in (0, 1) for n in range(count)]).tolist():
        times[bool(known)].append(spent(http, headers, packed(n if known else seed + n)))
    return Times(times[True], times[False])


def main() -> int:
    """`python -m bench.hit_timing [--count N] [--quick] [--check]`: 1 if times tell, or the test is blind."""
    parser = argparse.ArgumentParser(prog="bench.hit_timing", description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="20 scans")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    count = 20 if given.quick else given.count
    print(f"two of them, {Mode(SITE)}")
    with empty_redis() as client, tempfile.TemporaryDirectory() as folder:
        deployed.publish(client, "pipeline", PIPELINE)
        deployed.publish(client, "model", MODEL)
        address = client.get_connection_kwargs()
        url = f"redis://{address['host']}:{address['port']}/0"
        http = create_app(Settings(redis_url=url, blobs=f"{folder}/blobs")).test_client()
        headers = {name: configure(client, replace(SITE, name=name)) for name in ("north", "south")}
        for number in range(count):
            hold(client, http, headers["north"], packed(number))
        across = compare(http, headers["south"], count, 1_000_000)
        own = compare(http, headers["north"], count, 2_000_000)
    print(across.told("another site's bytes"))
    print(own.told("the site's own bytes (the test must see these)"))
    private = across.probability > SUSPICIOUS > own.probability
    print(f"p_across={across.probability:.3g} p_own={own.probability:.3g} private={private}")
    return 0 if private or not given.check else 1


if __name__ == "__main__":
    sys.exit(main())
