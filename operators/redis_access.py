"""What the operator's commands share: they talk to Redis itself, for all sites, and need no API key."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from client.errors import Unavailable
from client.exit_codes import Exit

if TYPE_CHECKING:
    import redis

DEFAULT_REDIS = "redis://127.0.0.1:6390/0"
Command = Callable[..., Any]


class Refused(click.ClickException):
    """The job store does not allow it; one sentence."""


class Missing(Refused):
    """There is no such record, or nothing is left of it."""

    exit_code = int(Exit.NOT_FOUND)


redis_option = click.option(
    "--redis", "address", envvar="HIPPOCAMP_REDIS_URL", default=DEFAULT_REDIS, show_default=True,
    help="For operators: the job store itself.",
)  # fmt: skip


@contextmanager
def redis_at(address: str) -> Iterator[redis.Redis]:
    """A client of Redis; what it or the job store refuses leaves the block as one sentence."""
    import redis

    from contracts.errors import Gone, HippocampError, JobNotFound
    from runtime.redis_connections import connect

    try:
        client = connect(address, timeout_seconds=5, retries=1)
    except ValueError as error:
        raise Unavailable(f"The address of Redis is none: {error}; name it with --redis") from None
    try:
        yield client
    except redis.RedisError as error:
        raise _refusal(error, address) from None
    except HippocampError as error:
        kind = Missing if isinstance(error, JobNotFound | Gone) else Refused
        raise kind(error.detail) from None
    finally:
        client.close()


def _refusal(error: redis.RedisError, address: str) -> Exception:
    """Unavailable only when Redis is away or cannot serve now."""
    from contracts.errors import JobStoreUnavailable, Misconfigured
    from runtime.redis_failures import failure_of

    failure, why = failure_of(error), f"Redis at {place_of(address)}: {type(error).__name__}: {error}"
    if type(failure) is JobStoreUnavailable:
        return Unavailable(f"{why}; name it with --redis")
    if isinstance(failure, JobStoreUnavailable):
        return Unavailable(f"{failure.title}: {why}")
    if isinstance(failure, Misconfigured):
        return Refused(f"{why}; name an operator's user and password in the address given with --redis")
    return Refused(f"{why}; this is a fault of Hippocamp: report it with this text")


def on_redis(command: Command) -> Command:
    """Give a command a client of Redis, found by `--redis`."""

    @redis_option
    @functools.wraps(command)
    def run(*given: Any, address: str, **options: Any) -> Any:
        with redis_at(address) as client:
            return command(client, *given, **options)

    return run


def place_of(address: str) -> str:
    """host:port of a Redis address, without its password."""
    parts = urlsplit(address)
    if "," in parts.netloc or parts.scheme == "sentinel":
        return f"the master that {parts.netloc.rpartition('@')[2]} name"
    return f"{parts.hostname or '?'}:{parts.port or 6379}"


def ago(since_ms: float, now: int) -> str:
    """A short age: "4 s", "12 min", "3 h", "2 d"."""
    seconds = max(0.0, now - since_ms) / 1000
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
