"""Batches: one handle for many jobs; the job store's scripts count its jobs and keep its list."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from typing import Any, cast

import redis

from jobstore import keys

_UNUSED_SECONDS = 30 * 86400
MOST_UNUSED = 1000
"""Batches of one site that no job has named yet."""
_SAVE = """
-- Open a batch; 0 when the site has too many that no job has named.
-- KEYS: its record | the site's unused batches
-- ARGV: its id | now (s) | seconds it lasts | most | fields as JSON
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[2] - ARGV[3])
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[4]) then return 0 end
for field, value in pairs(cjson.decode(ARGV[5])) do redis.call('HSET', KEYS[1], field, value) end
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 1
"""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One handle; it goes with the last of its jobs, or after a month in which no job came.

    created_ms: Unix time in milliseconds. expected: jobs its owner means to send, 0 when that was not told.
    """

    id: str
    site: str
    created_ms: int
    description: str = ""
    expected: int = 0


def new_batch_id() -> str:
    """An id nobody can guess."""
    return f"bat_{uuid.uuid4().hex}"


def save(client: redis.Redis, batch: Batch) -> bool:
    """From now on jobs can name it; False when the site has too many that no job has named."""
    touched = keys.batch(batch.id), keys.batches_unused(batch.site)
    about = json.dumps(asdict(batch))
    args = batch.id, batch.created_ms // 1000, _UNUSED_SECONDS, MOST_UNUSED, about
    return bool(client.eval(_SAVE, 2, *touched, *map(str, args)))


def find(client: redis.Redis, batch_id: str) -> Batch | None:
    """The batch of this id, None when there is none (any more)."""
    fields = cast("dict[str, Any]", client.hgetall(keys.batch(batch_id)))
    if not fields:
        return None
    figures = {name: int(fields[name]) for name in ("created_ms", "expected")}
    return Batch(**(fields | figures))


def counts(client: redis.Redis, batch_id: str) -> dict[str, int]:
    """State -> jobs of the batch in it; states no job was ever in are left out."""
    found = cast("dict[str, str]", client.hgetall(keys.count_of_batch(batch_id)))
    return {state: int(number) for state, number in found.items()}
