"""Requests, answers and retry_policy: how a call is repeated, told apart from how bytes travel.

A conversation is a generator: it yields a Call or a Pause, and is sent what came of it. The sync and the
async client drive the same conversations, so retries, waiting and error texts are written once.
"""

from __future__ import annotations

import email.utils
import json
import random
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from client.errors import Unavailable, refusal
from client.models import Problem
from client.sources import Source

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """One HTTP request; `path` is relative to the service, `body` is sent in pieces."""

    method: str
    path: str
    query: Mapping[str, str | int] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Source | None = None
    data: Any = None
    repeatable: bool = True


@dataclass(frozen=True)
class Pause:
    """Wait before going on."""

    seconds: float


@dataclass(frozen=True)
class ServiceReply:
    """What came of a call; status 0: nothing came, and `broken` says why."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    broken: str = ""

    def json(self) -> Any:
        """The body as JSON; Unavailable when a proxy or a broken service sent something else."""
        try:
            return json.loads(self.content)
        except ValueError as error:
            raise Unavailable(
                f"HTTP {self.status} with a body that is no JSON: {self.content[:80]!r}"
            ) from error

    @property
    def problem(self) -> Problem:
        """The problem document, made up from the status when something in between answered."""
        try:
            data = json.loads(self.content)
        except ValueError:
            data = {}
        return Problem.of(data if isinstance(data, dict) else {}, status=self.status)

    @property
    def retry_after(self) -> float | None:
        """Seconds the service asks to wait, given as a number or as a date; None when it does not."""
        text = self.headers.get("retry-after", "")
        if text.isdecimal():
            return float(text)
        until = http_date(text)
        return None if until is None else max(0.0, (until - datetime.now(tz=UTC)).total_seconds())


def http_date(text: str) -> datetime | None:
    """A date as HTTP writes it, aware; None when it is none."""
    try:
        found = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


Conversation = Generator[Call | Pause, ServiceReply, T]


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long to try again: `first_seconds`, doubled each time, with jitter.

    A `Retry-After` is a floor for the pause. No pause is longer than `longest_seconds`; when the service asks
    for more, the call fails at once instead of holding its caller.
    """

    retries: int = 6
    first_seconds: float = 0.5
    longest_seconds: float = 60.0

    def pause(self, attempt: int, asked: float | None) -> float | None:
        """Seconds before try `attempt` + 1 (the first try is 0); None: give up."""
        if attempt >= self.retries or (asked or 0) > self.longest_seconds:
            return None
        grown = self.first_seconds * 2.0**attempt
        return min(self.longest_seconds, max(asked or 0.0, grown * random.uniform(0.5, 1.0)))  # noqa: S311


_PASSING = frozenset({0, 408, 425, 429, 500, 502, 503, 504})


def with_retries(call: Call, retry_policy: RetryPolicy) -> Conversation[ServiceReply]:
    """Make a call until it is answered; Refused for a problem, Unavailable when retry_policy ends."""
    attempt = 0
    while True:
        answer = yield call
        if 200 <= answer.status < 400:
            return answer
        if not _may_pass(call, answer):
            raise refusal(answer.problem)
        seconds = retry_policy.pause(attempt, answer.retry_after)
        if seconds is None:
            raise Unavailable(_last_words(answer, attempt + 1))
        yield Pause(seconds)
        attempt += 1


def _may_pass(call: Call, answer: ServiceReply) -> bool:
    if not call.repeatable:
        return answer.status in {0, 429, 503}  # a 500 may have done it
    return answer.status in _PASSING or answer.problem.retryable


def _last_words(answer: ServiceReply, tries: int) -> str:
    why = answer.broken or f"HTTP {answer.status}, {answer.problem.code}: {answer.problem.detail}"
    return f"no usable answer after {tries} {'try' if tries == 1 else 'tries'}; the last: {why}"
