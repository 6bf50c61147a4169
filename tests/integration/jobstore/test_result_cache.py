"""Cached results on a server of their own: a loss costs a hit, and erasing reaches them in every order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
import redis

from contracts.job import Claim, Submission, new_job_id
from contracts.states import JobState, Stage
from jobstore import deployed, keys
from jobstore.result_cache import LATE_SECONDS, CacheEntry, Known, cache_key
from jobstore.store import JobStore, LeaseLost
from runtime.redis_connections import connect_cache
from tests.redis_servers import FORGETFUL, Server

pytestmark = pytest.mark.integration

KEY = keys.cached_result("a", "c", "p", "m")
ENTRY = CacheEntry(KEY, '{"cdr": "0"}', 600)
SWEEP_MS = 16 * 60_000


@pytest.fixture(scope="module")
def cache_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("cache"), (*FORGETFUL, "--maxmemory", "2mb")).start()
    yield server
    server.kill()


@pytest.fixture
def cache(cache_server: Server) -> Iterator[redis.Redis]:
    if cache_server.process is None:
        cache_server.start()
    client = connect_cache(cache_server.url)
    assert client is not None
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def job_store(redis_client: redis.Redis, cache: redis.Redis) -> JobStore:
    in_service(redis_client)
    return JobStore(redis_client, cache=cache)


def in_service(client: redis.Redis) -> None:
    """The pipeline and model that KEY names."""
    deployed.publish(client, "pipeline", "p")
    deployed.publish(client, "model", "m")


def claimed(job_store: JobStore, content: str = "c") -> Claim:
    """A job of these bytes, claimed for inference."""
    job_id = new_job_id()
    job_store.submit(
        Submission(
            id=job_id, site="a", content_digest=content, input_blob=f"inputs/a/{job_id}", size_bytes=1,
            media="nifti",
        )
    )  # fmt: skip
    (claim,) = job_store.claim(Stage.PREPROCESS, "w")
    job_store.advance(claim, Stage.INFER)
    (claim,) = job_store.claim(Stage.INFER, "w")
    return claim


def done(job_store: JobStore, content: str = "c", key: str = KEY) -> Claim:
    claim = claimed(job_store, content)
    job_store.succeed(claim, {"result": ENTRY.value}, cache=CacheEntry(key, ENTRY.value, 600))
    return claim


def test_results_lie_on_their_own_server_and_nowhere_else(job_store: JobStore, cache: redis.Redis) -> None:
    done(job_store)
    assert job_store.answers.find("a", "c") == Known(KEY, ENTRY.value, "p", "m")
    assert job_store.answers.find("b", "c") is None
    assert len(cache.keys("*")) == 1
    assert job_store.redis.keys(keys.cached_result("*")) == []


def test_a_cache_that_is_away_costs_a_hit_and_no_job(
    job_store: JobStore, cache: redis.Redis, cache_server: Server
) -> None:
    claim = claimed(job_store)
    cache_server.kill()
    job_store.succeed(claim, {"result": ENTRY.value}, cache=ENTRY)
    assert job_store.get(claim.id).state is JobState.SUCCEEDED
    assert job_store.answers.find("a", "c") is None


def test_what_is_erased_while_the_cache_is_away_goes_when_it_is_back(
    job_store: JobStore, cache: redis.Redis, cache_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = done(job_store)
    away = redis.ConnectionError("no route")
    with monkeypatch.context() as cut:
        cut.setattr(cache, "delete", lambda *_: (_ for _ in ()).throw(away))
        job_store.erase(job_store.get(kept.id))
    assert len(cache.keys("*")) == 1
    assert job_store.answers.find("a", "c") is None, "out of reach from the first moment"
    assert job_store.answers.clear() == 1
    assert cache.keys("*") == []
    assert not job_store.redis.exists(keys.STALE_RESULTS)


def test_a_full_cache_drops_results_and_the_line_keeps_all_it_has(
    job_store: JobStore, cache: redis.Redis
) -> None:
    for n in range(1500):
        key = cache_key("a", str(n), pipeline="p", model="m")
        name = f"{key}:{n}"
        job_store.redis.hset(keys.cached_names("a", str(n)), key, name)
        job_store.answers.keep(name, CacheEntry(KEY, "x" * 1200, 600), until=2**40)
    found = [job_store.answers.find("a", str(n)) is not None for n in range(1500)]
    assert 0 < sum(found) < 1500
    assert found[-1], "the newest stay"
    assert len(job_store.redis.keys(keys.cached_names("*", "*"))) == 1500


def test_a_worker_that_comes_too_late_writes_nothing(job_store: JobStore, cache: redis.Redis) -> None:
    now = job_store.answers.limit()
    assert now is not None
    job_store.answers.keep("late", ENTRY, until=now - LATE_SECONDS - 1)
    job_store.answers.keep("timely", ENTRY, until=now)
    assert cache.keys("*") == ["timely"]
    assert LATE_SECONDS * 1000 < SWEEP_MS


class Race:
    """One job whose worker commits and then keeps its result, and whoever erases it, a step at a time."""

    def __init__(self, job_store: JobStore, cache: redis.Redis, *, again: bool) -> None:
        job_store.redis.flushall()
        in_service(job_store.redis)
        cache.flushall()
        job_store.now_ms = 1_000_000
        self.job_store, self.again = job_store, again
        self.claim, self.name, self.erased = claimed(job_store), "", False

    def commit(self) -> None:
        with suppress(LeaseLost):
            self.name = self.job_store._commit(self.claim, JobState.SUCCEEDED, {"result": "{}"}, cache=ENTRY)

    def keep(self) -> None:
        if self.name:
            self.job_store.answers.keep(self.name, ENTRY, until=2**40)

    def erase(self) -> None:
        """The line's part only; the same bytes may be sent again at once."""
        job = self.job_store.get(self.claim.id)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.job_store.answers, "clear", lambda: 0)
            self.job_store.erase(job)
        self.erased = True
        if self.again:
            claimed(self.job_store)

    def clear(self) -> None:
        self.job_store.answers.clear()


WORKER, ERASER = ("commit", "keep"), ("erase", "clear")
WORKERS = [WORKER[:n] for n in range(3)]
ERASERS = [ERASER[:n] for n in (1, 2)]
"""Each may be killed after any step."""


def merges(one: tuple[str, ...], other: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """All orders that keep each one's own."""
    if not one or not other:
        yield one + other
        return
    yield from ((one[0], *rest) for rest in merges(one[1:], other))
    yield from ((other[0], *rest) for rest in merges(one, other[1:]))


@pytest.mark.parametrize("again", [False, True], ids=["once", "sent again"])
def test_erasing_reaches_the_result_in_every_order(
    job_store: JobStore, cache: redis.Redis, again: bool
) -> None:
    orders = {order for w in WORKERS for e in ERASERS for order in merges(w, e)}
    assert len(orders) == 16
    for order in orders:
        race = Race(job_store, cache, again=again)
        for step in order:
            getattr(race, step)()
            assert not (race.erased and job_store.answers.find("a", "c")), (order, step)
        job_store.now_ms += SWEEP_MS
        job_store.reap()
        job_store.answers.clear()
        assert cache.keys("*") == [], order
