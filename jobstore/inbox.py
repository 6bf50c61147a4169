"""The inbox: DICOM instances collected by site and study until a study is whole; Redis holds only the index.

The instances lie in the blob store, cleaned, in chunks: one for each study of each request that brought some.
A chunk is an upload like any other (uploads.py): it is named here before it counts, and deleted only after
it is withdrawn. Gateway processes take turns by a lease that Redis gives; every write of a holder names its
fence.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import redis

from contracts.errors import JobStoreUnavailable
from jobstore import clock, keys
from jobstore.inbox_records import Bounds, Held, Item, Owner, Study
from jobstore.scripts import Scripts

_LONGEST_REQUEST_MS = 120_000
"""A request that is still on its way after so long may have broken off: it holds nothing up any more."""


class Inbox:
    """All that happens to the index; every change is one script. Times are those of Redis's clock, ms."""

    def __init__(self, client: redis.Redis, *, replicas: int = 0) -> None:
        self._redis, self._replicas = client, replicas
        self._scripts = Scripts(client)

    def now_ms(self) -> int:
        """Redis's clock."""
        return clock.now_ms(self._redis)

    def known(self, study: str, ids: Sequence[str]) -> set[str]:
        """Which of these instances are there already."""
        found = cast("list[str | None]", self._redis.hmget(keys.inbox("instances", study), list(ids)))
        return {one for one, there in zip(ids, found, strict=True) if there}

    def add(
        self, owner: Owner, items: Sequence[Item], series: Mapping[str, str], *, bounds: Bounds, quiet_ms: int
    ) -> str:
        """ "" when all are in the index, durably; else why none is: `person`, `full:bytes` and its like.

        JobStoreUnavailable when their chunk was withdrawn meanwhile, NotReplicated.
        """
        about = {**vars(owner), "collection": uuid.uuid4().hex}
        chunk = next((one.chunk for one in items if one.chunk), "")
        answer, _ = self._scripts.run_replicated(
            "inbox_add",
            [
                "", owner.study, json.dumps(about), json.dumps([one.row() for one in items]),
                json.dumps(dict(series)), chunk, json.dumps(vars(bounds)), quiet_ms,
            ],
            replicas=self._replicas,
        )  # fmt: skip
        if answer == "withdrawn":
            raise JobStoreUnavailable("The instances waited too long for their entry; send them again")
        return "" if answer == "ok" else str(answer)

    def arrives(self, site: str) -> str:
        """A request with instances of the site is on its way: its id, for `arrived`."""
        request, now = uuid.uuid4().hex, self.now_ms()
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.zadd(keys.inbox("arriving", site), {request: now})
            pipe.zremrangebyscore(keys.inbox("arriving", site), "-inf", now - _LONGEST_REQUEST_MS)
            pipe.execute()
        return request

    def arrived(self, site: str, request: str) -> None:
        """All of it is in the index, or nothing of it ever will be."""
        self._redis.zrem(keys.inbox("arriving", site), request)

    def is_arriving(self, site: str, *, since_before_ms: int) -> bool:
        """Whether a request that began before that time is still on its way."""
        begins = self.now_ms() - _LONGEST_REQUEST_MS
        return bool(self._redis.zcount(keys.inbox("arriving", site), begins, since_before_ms))

    def claim(self, lease_ms: int) -> Held | None:
        """The next study that is due, None when none is."""
        found = self._scripts.run("inbox_claim", ["", lease_ms])
        return Held(str(found[0]), str(found[1])) if found else None

    def renew(self, held: Held, lease_ms: int) -> bool:
        """Hold it for longer; False when it is lost."""
        return self._settle(held, {}, (), ("", lease_ms, "", 0))

    def note(self, held: Held, fields: Mapping[str, str | int], *, lease_ms: int) -> bool:
        """Write fields and hold it for longer; False when it is lost."""
        return self._settle(held, fields, (), ("", lease_ms, "", 0))

    def settle(
        self,
        held: Held,
        looked_at: Study,
        *,
        again_ms: int,
        quiet_ms: int,
        fields: Mapping[str, str | int] | None = None,
    ) -> bool:
        """Let go of it until `again_ms`, or until it was quiet when something came since it was looked at."""
        gone = ("pending", "pending_blob", *(("closing",) if looked_at.text("closing") else ()))
        last = (again_ms, 0, looked_at.text("version"), quiet_ms)
        return self._settle(held, fields or {}, gone, last)

    def _settle(
        self,
        held: Held,
        fields: Mapping[str, str | int],
        gone: Sequence[str],
        last: tuple[int | str, int, str, int],
    ) -> bool:
        args = ["", held.study, held.fence, json.dumps(dict(fields)), json.dumps(list(gone)), *last]
        return bool(self._scripts.run("inbox_settle", args))

    def close(self, study: str) -> bool:
        """Have it looked at now, as whole; False when nothing of it is collected."""
        return bool(self._scripts.run("inbox_close", ["", study]))

    def forget(self, study: str, *, version: str = "") -> bool:
        """Drop what is collected; False when nothing is, or something came since that version."""
        return bool(self._scripts.run("inbox_forget", ["", study, version]))

    def find(self, study: str) -> Study | None:
        """As the index has it; None when nothing is collected and no job was made."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(keys.inbox("study", study))
            pipe.hgetall(keys.inbox("series", study))
            pipe.zrange(keys.inbox("jobs", study), 0, -1)
            fields, series, jobs = pipe.execute()
        return Study(study, fields, series, jobs) if fields or jobs else None

    def items(self, study: str) -> list[Item]:
        """Every instance of it."""
        found = cast("dict[str, str]", self._redis.hgetall(keys.inbox("instances", study)))
        return [Item(one, *json.loads(text)) for one, text in found.items()]

    def studies(self, site: str, *, until_ms: int | None = None, most: int = 1000) -> list[str]:
        """Studies of the site that are collected, the longest quiet first; with nothing since `until_ms`."""
        last = "+inf" if until_ms is None else until_ms
        found = self._redis.zrangebyscore(keys.inbox("studies", site), "-inf", last, start=0, num=most)
        return cast("list[str]", found)


@dataclass(frozen=True)
class Collected:
    """Of one site: how many studies are collected, when the one that is quiet for longest got something."""

    studies: int
    oldest_ms: int


def collected(client: redis.Redis) -> dict[str, Collected]:
    """By site; sites that collect nothing are left out."""
    sites = sorted(cast("set[str]", client.smembers(keys.SITES)))
    with client.pipeline(transaction=False) as pipe:
        for site in sites:
            pipe.zcard(keys.inbox("studies", site))
            pipe.zrange(keys.inbox("studies", site), 0, 0, withscores=True)
        rows = pipe.execute()
    found = zip(sites, rows[::2], rows[1::2], strict=True)
    return {site: Collected(int(count), int(first[0][1])) for site, count, first in found if count}


def overdue(client: redis.Redis, *, now_ms: int, most_ms: int) -> int:
    """Studies that were due so long ago, and at which no gateway has looked."""
    return int(client.zcount(keys.inbox("due"), "-inf", now_ms - most_ms))
