"""Step by step: processes that die at any write or work side by side, and an inbox that is full."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import redis
from flask import Flask

from contracts.errors import JobStoreUnavailable
from gateway.app import create_app
from gateway.dicomweb import closing
from gateway.dicomweb.settings import InboxSettings
from gateway.resources import Resources, resources
from gateway.settings import Settings
from jobstore import keys, sites
from jobstore.inbox_records import Item, Owner, short
from tests.integration.inbox.sending import STUDY, T1, Sender, images, reasons, volume
from tests.support.hospital import Hospital
from tests.support.waiting import eventually
from workers.maintenance.retention import retire

pytestmark = pytest.mark.integration


@pytest.fixture
def redis_url(redis_url: str) -> str:
    """Another database than that of the gateway beside, which would take studies of these tests."""
    return redis_url.removesuffix("0") + "1"


@pytest.fixture
def app(redis_url: str, redis_client: redis.Redis, tmp_path: Path) -> Flask:
    """Without a thread that closes: the tests do it, step by step."""
    quick = InboxSettings(quiet_seconds=0.05, limit_seconds=60, most_instances=50, most_studies=3)
    blobs = str(tmp_path / "blobs")
    return create_app(Settings(redis_url=redis_url, blobs=blobs, inbox=quick, lease_seconds=1))


@pytest.fixture
def to(app: Flask) -> Iterator[Resources]:
    with app.app_context():
        found = resources()
    yield found
    found.client.connection_pool.disconnect()


@pytest.fixture
def local(app: Flask, hospital: Hospital) -> Iterator[Sender]:
    transport = httpx.WSGITransport(app=app)
    with httpx.Client(transport=transport, base_url="http://localhost", headers=hospital.headers) as http:
        yield Sender(http)


class Killed(BaseException):
    """The process ended here."""


class Mortal:
    """What a dying process still does: everything up to its last call; done: that one reached the store."""

    def __init__(self, inner: object, last: str, *, done: bool) -> None:
        self._inner, self._last, self._done = inner, last, done

    def __getattr__(self, name: str) -> object:
        found = getattr(self._inner, name)
        if name != self._last:
            return found

        def die(*args: object, **named: object) -> None:
            if self._done:
                found(*args, **named)
            raise Killed

        return die


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("last", ["note", "submit", "settle"])
def test_a_process_killed_while_it_makes_a_job_doubles_nothing(
    local: Sender, to: Resources, redis_client: redis.Redis, last: str, done: bool
) -> None:
    """At each write, before and after it; more comes before another process takes over."""
    whole = volume(count=21)
    local.stow(whole[:20])
    eventually(lambda: redis_client.zcount(keys.inbox("due"), "-inf", time.time() * 1000))
    held = to.inbox.claim(50)
    assert held
    part: Any = "job_store" if last == "submit" else "inbox"
    dying = replace(to, **{part: Mortal(getattr(to, part), last, done=done)})
    with pytest.raises(Killed):
        closing.Closing(dying, held).run()
    local.stow(whole[20:])
    eventually(lambda: not closing.step(to) and local.is_settled())
    found = [(one["state"], one["superseded_by"] is None) for one in local.jobs()]
    recorded = last == "settle" or (last == "submit" and done)
    assert found == [("canceled", False)] * recorded + [("queued", True)], local.jobs()


def test_an_index_that_was_behind_finds_the_job_that_is_there(
    local: Sender, to: Resources, redis_client: redis.Redis
) -> None:
    """A replica that became the master had the job, and not what was noted of it; more came since."""
    local.stow(volume())
    eventually(lambda: closing.step(to) and local.is_settled())
    (study,) = redis_client.zrange(keys.inbox("studies", "here"), 0, -1)
    redis_client.hdel(keys.inbox("study", study), "job", "scored_set", "scored_version", "scored_ms")
    local.stow(volume(f"{STUDY}.7", SeriesDescription="flair"))
    eventually(lambda: not closing.step(to) and local.is_settled())
    (job,) = local.jobs()
    assert local.collected()[0]["job"] == job["id"]
    assert len(to.blobs.list_all("inputs")) == 1


def test_a_request_on_its_way_is_waited_for(local: Sender, to: Resources) -> None:
    """It began in time; what it brings is not known before its end."""
    local.stow(volume())
    request = to.inbox.arrives("here")
    eventually(lambda: closing.step(to) and local.waits_for("a request of the site is on its way"))
    assert local.jobs() == []
    to.inbox.arrived("here", request)
    eventually(lambda: not closing.step(to) and local.is_settled())
    assert len(local.jobs()) == 1


def test_processes_side_by_side_make_one_job_a_study(
    local: Sender, to: Resources, redis_client: redis.Redis
) -> None:
    studies = [f"1.2.{n}" for n in range(10, 13)]
    for study in studies:
        local.stow(volume(f"{study}.1", 16, StudyInstanceUID=study))
    stopped = threading.Event()
    threads = [closing.start(to, stopped) for _ in range(6)]
    eventually(lambda: all(map(local.is_settled, studies)))
    stopped.set()
    for thread in threads:
        thread.join(60)
    assert [len(local.jobs(study)) for study in studies] == [1, 1, 1]
    assert redis_client.zcard(keys.jobs_of_site("here")) == 3


@pytest.mark.privacy
def test_mapped_uids_are_the_only_ones_that_are_kept(
    to: Resources, hospital: Hospital, redis_client: redis.Redis
) -> None:
    """Nor a hash of the others, which who holds the archive could make."""
    app = create_app(replace(to.settings, uid_secret="only for tests"))
    transport = httpx.WSGITransport(app=app)
    with httpx.Client(transport=transport, base_url="http://localhost", headers=hospital.headers) as http:
        sender = Sender(http)
        sender.stow(volume()[:3])
        (found,) = sender.collected()
        assert found["study"].startswith("2.25.")
        assert sender.close(found["study"]).status_code == sender.close(STUDY).status_code == 202
    with app.app_context():
        resources().client.connection_pool.disconnect()
    kept = " ".join(str(redis_client.hgetall(key)) for key in redis_client.keys(keys.inbox("[is][ne][sr]*")))
    assert found["study"] not in kept
    assert len(kept) > 300
    for uid in (STUDY, T1, f"{T1}.1"):
        assert short(uid) not in kept
        assert f"'{uid}'" not in kept


def test_a_full_inbox_says_so_for_each_instance(local: Sender, to: Resources) -> None:
    whole = volume(count=60)
    assert images(local.stow(whole[:20])[0]) == 20
    (answer,) = local.stow(whole[20:])
    assert (answer["status"], images(answer)) == (409, 0)
    assert len(answer["00081198"]["Value"]) == 40
    assert reasons(answer) == {(0xA700, "the inbox is full: the site collects as many instances as it may")}
    assert len(to.blobs.list_all("inbox")) == 1


def test_what_was_submitted_makes_room(local: Sender, to: Resources, redis_client: redis.Redis) -> None:
    local.stow(volume())
    eventually(lambda: closing.step(to) and local.is_settled())
    for number in range(4):
        study = f"1.2.{10 + number}"
        (answer,) = local.stow(volume(f"{study}.1", 2, StudyInstanceUID=study))
        assert answer["status"] == (200 if number < 3 else 409)
    assert reasons(answer) == {(0xA700, "the inbox is full: the site collects as many studies as it may")}
    assert redis_client.zcard(keys.inbox("studies", "here")) == 3


def test_no_t1_is_forgotten_when_its_time_is_over(
    local: Sender, to: Resources, redis_client: redis.Redis
) -> None:
    """And does not stand in the way of others before that."""
    for number in range(4):
        study = f"1.2.{10 + number}"
        sent = volume(f"{study}.1", 2, StudyInstanceUID=study, SeriesDescription="t2")
        assert local.stow(sent)[0]["status"] == 409
    assert redis_client.zcard(keys.inbox("studies", "here")) == 3
    local.close("1.2.13")
    eventually(lambda: closing.step(to) and len(local.collected()) == 2)
    assert redis_client.zcard(keys.jobs_of_site("here")) == 0


def test_a_study_without_a_gateway_ends_with_the_retention(
    local: Sender, to: Resources, redis_client: redis.Redis
) -> None:
    sites.save(redis_client, sites.Site(name="here", retention_seconds=1))
    local.stow(volume()[:3])
    time.sleep(1.1)
    retire(
        SimpleNamespace(
            redis=redis_client, job_store=to.job_store, settings=SimpleNamespace(retention_seconds=1)
        )
    )  # type: ignore[arg-type]
    assert local.collected() == []
    assert len(redis_client.lrange(keys.PENDING_DELETIONS, 0, -1)) == 1


def test_a_chunk_that_no_entry_names_is_an_orphan(to: Resources, redis_client: redis.Redis) -> None:
    """And an entry that comes after it was withdrawn names nothing that is gone."""
    path = "inbox/here/study/chunk"
    to.blobs.put(path, b"an image")
    for this_round in (1, 2):
        to.job_store.uploads.withdraw_orphans(
            to.blobs.list_all("inbox"), this_round=this_round, grace_rounds=1
        )
    assert redis_client.lrange(keys.PENDING_DELETIONS, 0, -1) == [path]
    owner = Owner(site="here", uid="1.2.3")
    late = Item("an instance", "a series", [], path, 0, 8)
    with pytest.raises(JobStoreUnavailable):
        to.inbox.add(owner, [late], {}, bounds=to.settings.inbox.bounds, quiet_ms=1)
    assert redis_client.exists(keys.inbox("study", owner.study)) == 0
