"""Which pipeline and model are in service, and when each last showed that it works."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, cast

import redis

from jobstore import clock, keys


def publish(client: redis.Redis, what: str, digest: str) -> None:
    """Tell everybody the digest of `what` ("pipeline" or "model") that now does the work."""
    client.hset(keys.DEPLOYED, what, digest)


def current(client: redis.Redis) -> tuple[str, str]:
    """(pipeline digest, model digest); "" for one that no worker has published yet."""
    pipeline, model = cast("list[Any]", ask(client))
    return pipeline or "", model or ""


def ask(client: redis.Redis) -> object:
    """The same as Redis answers it, for a client or a pipeline."""
    return client.hmget(keys.DEPLOYED, ["pipeline", "model"])


def describe(client: redis.Redis, model: str, card: str) -> None:
    """Keep the card (JSON, model_card.py) of this model, which answered just now."""
    with client.pipeline(transaction=True) as pipe:
        pipe.hset(keys.CARDS, model, card)
        pipe.zadd(keys.CARDS_TOLD, {model: clock.now_seconds(client)})
        pipe.execute()


def forget_cards(client: redis.Redis, *, after_seconds: float) -> list[str]:
    """Drop the cards of models that have neither told theirs nor been in service for so long; which."""
    now, known, in_service = clock.now_seconds(client), described(client), current(client)[1]
    if known:
        client.zadd(keys.CARDS_TOLD, dict.fromkeys(known, now), nx=True)
    if in_service in known:
        client.zadd(keys.CARDS_TOLD, {in_service: now})
    gone = cast("list[str]", client.zrangebyscore(keys.CARDS_TOLD, "-inf", now - after_seconds))
    if gone:
        with client.pipeline(transaction=True) as pipe:
            pipe.hdel(keys.CARDS, *gone)
            pipe.zrem(keys.CARDS_TOLD, *gone)
            pipe.execute()
    return gone


def card(client: redis.Redis, model: str) -> str:
    """The card of the model with this digest, "" when none of its servers has told it."""
    return cast("str | None", client.hget(keys.CARDS, model)) or ""


def described(client: redis.Redis) -> list[str]:
    """Digests of all models that told their card, sorted."""
    return sorted(cast("list[str]", client.hkeys(keys.CARDS)))


def named(client: redis.Redis, name: str) -> str:
    """The digest of the one described model whose digest begins like this; "" when there is not just one."""
    found = [digest for digest in described(client) if digest.startswith(name)]
    return found[0] if len(found) == 1 else ""


def health(client: redis.Redis, what: str) -> float | None:
    """Unix seconds of the last heartbeat of `what`, None when there was none lately."""
    stamp = cast("Any", client.get(keys.health(what)))
    return float(stamp) if stamp else None


def record_heartbeat(client: redis.Redis, what: str, *, ttl_seconds: int = 120) -> None:
    """Note that `what` ("model_server", "preprocess", "infer") did real work just now."""
    now = clock.now_seconds(client)
    with client.pipeline(transaction=True) as pipe:
        pipe.set(keys.health(what), f"{now:.6f}", ex=ttl_seconds)
        pipe.delete(keys.health(what, "failed"))
        pipe.execute()


def record_failure(client: redis.Redis, what: str, why: str, *, ttl_seconds: int = 120) -> None:
    """Note that `what` failed its test just now; real work that it does later takes this back."""
    client.set(keys.health(what, "failed"), why, ex=ttl_seconds)


def failure(client: redis.Redis, what: str) -> str:
    """Why `what` failed its last test, "" when it passed, or when that was long ago."""
    return cast("str | None", client.get(keys.health(what, "failed"))) or ""


def refuse(client: redis.Redis, digest: str, *, ttl_seconds: int = 120) -> None:
    """Note that the model server answered with this model, which is not known."""
    client.set(keys.health("refused_model"), digest, ex=ttl_seconds)


def refused(client: redis.Redis) -> str:
    """The unknown model that answered lately, "" when none did."""
    return cast("str | None", client.get(keys.health("refused_model"))) or ""


@dataclass
class Heartbeats:
    """Publishes that this process works, and with which digest; the same at most once in `every_seconds`."""

    client: redis.Redis
    every_seconds: float = 1.0
    _sent: dict[tuple[str, str], float] = field(default_factory=dict)

    def send(self, what: str, *, of: str = "", digest: str = "") -> None:
        """A heartbeat of `what`; publish `digest`, when given, as that of `of` ("pipeline" or "model")."""
        now = time.monotonic()
        if now - self._sent.get((what, digest), -self.every_seconds) < self.every_seconds:
            return
        if digest:
            publish(self.client, of, digest)
        record_heartbeat(self.client, what)
        self._sent = {key: at for key, at in self._sent.items() if key[0] != what} | {(what, digest): now}
