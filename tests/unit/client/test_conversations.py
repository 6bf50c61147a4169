"""Retries, waiting and errors, driven with scripted answers and no network."""

from __future__ import annotations

import json
from typing import Any

import pytest

from client.conversations import Conversations
from client.errors import BadInput, JobEnded, NotAllowed, NotFound, Refused, Unavailable, WaitedTooLong
from client.exchange import Call, Conversation, Pause, RetryPolicy, ServiceReply, with_retries
from client.sources import open_source

CALL = Call("GET", "/x")
JOB = {"id": "job_1", "state": "queued", "stage": "preprocess"}


def reply(status: int, data: Any = None, **headers: str) -> ServiceReply:
    return ServiceReply(
        status, {k.replace("_", "-"): v for k, v in headers.items()}, json.dumps(data or {}).encode()
    )


def drive(talk: Conversation[Any], *answers: ServiceReply) -> tuple[Any, list[Call], list[float]]:
    """Feed answers to a conversation: (what it returned, calls it made, pauses it took)."""
    left, calls, pauses = list(answers), [], []
    try:
        step = next(talk)
        while True:
            if isinstance(step, Pause):
                pauses.append(step.seconds)
                step = talk.send(ServiceReply(0))
            else:
                calls.append(step)
                step = talk.send(left.pop(0))
    except StopIteration as end:
        return end.value, calls, pauses


def test_an_answer_ends_it() -> None:
    answer, calls, pauses = drive(with_retries(CALL, RetryPolicy()), reply(200, {"a": 1}))
    assert (answer.json(), len(calls), pauses) == ({"a": 1}, 1, [])


def test_retry_after_is_a_floor() -> None:
    _, calls, pauses = drive(
        with_retries(CALL, RetryPolicy(first_seconds=0.01)),
        reply(503, retry_after="7"),
        reply(429),
        reply(200),
    )
    assert len(calls) == 3
    assert pauses[0] == 7
    assert pauses[1] <= 0.02


def test_retry_after_may_be_a_date() -> None:
    assert (reply(503, retry_after="Wed, 21 Oct 2015 07:28:00 GMT").retry_after) == 0
    assert reply(503, retry_after="soon").retry_after is None
    assert reply(503).retry_after is None


def test_pauses_grow_and_are_bounded() -> None:
    retry_policy = RetryPolicy(retries=10, first_seconds=1, longest_seconds=20)
    _, _, pauses = drive(
        with_retries(CALL, retry_policy), *[ServiceReply(0, broken="reset")] * 10, reply(200)
    )
    for n, pause in enumerate(pauses):
        assert min(20, 2**n) / 2 <= pause <= min(20, 2**n)


def test_a_service_that_asks_for_too_long_fails_at_once() -> None:
    with pytest.raises(Unavailable, match="after 1 try"):
        drive(with_retries(CALL, RetryPolicy(longest_seconds=60)), reply(503, retry_after="3600"))


def test_retries_end() -> None:
    with pytest.raises(Unavailable, match="after 3 tries; the last: ConnectError"):
        drive(with_retries(CALL, RetryPolicy(retries=2)), *[ServiceReply(0, broken="ConnectError")] * 3)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, NotAllowed), (403, NotAllowed), (404, NotFound), (410, NotFound), (415, BadInput), (422, BadInput),
     (413, BadInput), (409, Refused)],
)  # fmt: skip
def test_problems_are_not_retried(status: int, kind: type[Refused]) -> None:
    problem = {"code": "some.code", "detail": "what is wrong", "status": status, "retryable": False}
    with pytest.raises(kind, match=r"some\.code: what is wrong") as caught:
        drive(with_retries(CALL, RetryPolicy()), reply(status, problem))
    assert caught.value.problem.status == status


def test_a_problem_that_says_retryable_is_retried() -> None:
    busy = {"code": "request.in_flight", "detail": "busy", "status": 409, "retryable": True}
    _, calls, _ = drive(with_retries(CALL, RetryPolicy()), reply(409, busy), reply(200))
    assert len(calls) == 2


def test_an_unrepeatable_call_is_not_repeated_after_500() -> None:
    once = Call("POST", "/x", repeatable=False)
    with pytest.raises(Refused):
        drive(with_retries(once, RetryPolicy()), reply(500))


def test_a_proxys_html_is_an_error_of_its_own() -> None:
    with pytest.raises(Unavailable, match="no JSON"):
        drive(Conversations().job("job_1"), ServiceReply(200, {}, b"<html>"))
    with pytest.raises(Refused, match=r"http\.418"):
        drive(with_retries(CALL, RetryPolicy()), ServiceReply(418, {}, b"<html>"))


def test_every_try_of_a_submit_has_the_same_key() -> None:
    source = open_source(b"volume")
    talk = Conversations().submit(source, key=None, priority="bulk", deadline_seconds=9, not_before_seconds=4)
    job, calls, _ = drive(talk, ServiceReply(0, broken="reset"), reply(503), reply(202, JOB))
    assert job.id == "job_1"
    assert len({call.headers["Idempotency-Key"] for call in calls}) == 1
    assert calls[0].headers["Hippocamp-Priority"] == "bulk"
    assert calls[0].headers["Hippocamp-Deadline-Seconds"] == "9"
    assert calls[0].headers["Hippocamp-Not-Before-Seconds"] == "4"
    other = drive(
        Conversations().submit(source, key=None, priority=None, deadline_seconds=None), reply(202, JOB)
    )
    assert other[1][0].headers["Idempotency-Key"] != calls[0].headers["Idempotency-Key"]
    source.close()


def test_waiting_asks_no_faster_than_told() -> None:
    done = JOB | {"state": "succeeded"}
    job, _, pauses = drive(
        Conversations().wait("job_1"), reply(200, JOB, retry_after="12"), reply(200, JOB), reply(200, done)
    )
    assert job.state == "succeeded"
    assert pauses == [12, 1]


def test_waiting_ends_within_its_limit() -> None:
    with pytest.raises(WaitedTooLong, match="it goes on"):
        drive(
            Conversations().wait("job_1", timeout=10),
            reply(200, JOB, retry_after="8"),
            reply(200, JOB, retry_after="8"),
        )


def test_a_job_without_result() -> None:
    failed = JOB | {
        "state": "failed",
        "error": {"code": "quality.not_t1w", "detail": "no T1", "status": 422, "retryable": False},
    }
    with pytest.raises(JobEnded, match=r"quality\.not_t1w") as caught:
        drive(Conversations().result("job_1"), reply(200, failed))
    assert caught.value.job.error is not None
    assert caught.value.job.error.code == "quality.not_t1w"


def test_an_erasure_whose_answer_was_lost_is_no_error() -> None:
    gone = {"code": "job.erased", "detail": "It was erased", "status": 410}
    _, calls, _ = drive(
        Conversations(RetryPolicy(first_seconds=0.01)).erase("job_1"), reply(0), reply(410, gone)
    )
    assert [call.method for call in calls] == ["DELETE", "DELETE"]
    missing = {"code": "job.not_found", "detail": "No job", "status": 404}
    with pytest.raises(NotFound):
        drive(Conversations(RetryPolicy()).erase("job_2"), reply(404, missing))


def test_an_endpoint_that_is_added_again_has_the_same_key() -> None:
    talk = Conversations(RetryPolicy(first_seconds=0.01)).add_endpoint("https://pacs.example/hook")
    made, calls, _ = drive(talk, reply(0), reply(503), reply(201, {"id": "whe_1"}))
    assert made == {"id": "whe_1"}
    assert len({call.headers["Idempotency-Key"] for call in calls}) == 1
