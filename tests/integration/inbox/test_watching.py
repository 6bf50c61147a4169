"""What an operator sees of the inbox: the exporter's figures, and what `hippocamp doctor` says."""

from __future__ import annotations

import pytest
import redis

from deploy.exporter.backlog import figures
from jobstore import keys
from jobstore.inbox import Inbox
from jobstore.inbox_records import Bounds, Item, Owner
from operators.doctor.checks import Verdict
from operators.doctor.redis_checks import redis_checks

pytestmark = pytest.mark.integration

HOUR = 3_600_000


@pytest.fixture
def redis_url(redis_url: str) -> str:
    """Another database than that of the gateway beside, which would look at these studies."""
    return redis_url.removesuffix("0") + "1"


@pytest.fixture
def inbox(redis_client: redis.Redis) -> Inbox:
    """Two sites that collect three studies."""
    found = Inbox(redis_client)
    for site, uid in (("north", "1.2.3"), ("north", "1.2.4"), ("south", "1.2.3")):
        item = Item("an instance", "a series", [])
        told = found.add(Owner(site=site, uid=uid), [item], {}, bounds=Bounds(1, 9, 9), quiet_ms=60_000)
        assert told == ""
    return found


def sampled(client: redis.Redis, name: str, *, most_sites: int = 9) -> dict[str, float]:
    found = [one for one in figures(client, most_sites=most_sites) if one.name == name]
    return {sample.labels["site"]: sample.value for family in found for sample in family.samples}


def test_studies_and_the_longest_quiet_one_are_figures(inbox: Inbox, redis_client: redis.Redis) -> None:
    assert sampled(redis_client, "hippocamp_inbox_studies") == {"north": 2, "south": 1}
    assert sampled(redis_client, "hippocamp_inbox_studies", most_sites=1) == {"north": 2, "other": 1}
    (oldest, *_) = inbox.studies("north")
    redis_client.zadd(keys.inbox("studies", "north"), {oldest: inbox.now_ms() - 2 * HOUR})
    found = sampled(redis_client, "hippocamp_inbox_oldest_seconds")
    assert 7200 <= found["north"] < 7400
    assert found["south"] < 200


def verdict(url: str) -> tuple[Verdict, str]:
    (found,) = [one for one in redis_checks(url) if one.what == "inbox"]
    return found.verdict, found.found


def test_doctor_sees_what_nobody_looks_at(inbox: Inbox, redis_client: redis.Redis, redis_url: str) -> None:
    assert verdict(redis_url)[0] is Verdict.GOOD
    assert "3 studies collected" in verdict(redis_url)[1]
    (study, *_) = inbox.studies("north")
    redis_client.zadd(keys.inbox("studies", "north"), {study: inbox.now_ms() - 3 * HOUR})
    assert verdict(redis_url)[0] is Verdict.ODD
    redis_client.zadd(keys.inbox("due"), {study: inbox.now_ms() - HOUR})
    assert verdict(redis_url)[0] is Verdict.BAD
    assert "1 are overdue" in verdict(redis_url)[1]


def test_an_instance_takes_as_little_of_redis_as_the_documents_say(redis_client: redis.Redis) -> None:
    """600 bytes, with a real chunk's name and geometry."""
    before = int(redis_client.info("memory")["used_memory"])
    place = [[-90.1234, 101.4321, -77.7777], [0.9999, 0.0123, 0.0, -0.0123, 0.9999, 0.0], "0//256x256"]
    chunk = f"inbox/north/{'a' * 32}/{'b' * 32}"
    items = [
        Item(f"{n:020x}", "c" * 20, [*place, n, 1, 176, 1.0, 1.0], chunk, n * 140_000, 140_000)
        for n in range(2000)
    ]
    owner = Owner(site="north", uid="1.2.3")
    Inbox(redis_client).add(owner, items, {}, bounds=Bounds(1 << 40, 9000, 9), quiet_ms=60_000)
    spent = int(redis_client.info("memory")["used_memory"]) - before
    assert spent / len(items) < 700
