"""An open-loop load generator: volumes arrive when the clock says so, however late the answers are."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.peers.candidates import Candidate

MOST_WAIT_SECONDS = 60.0
"""A client gives up then."""
_BOUNDARY = "volume-7f3a"


@dataclass
class Outcome:
    """What became of one volume: seconds from its arrival to its result, or why there is none."""

    seconds: float = float("nan")
    refused: bool = False
    error: str = ""


@dataclass(frozen=True)
class Level:
    """All outcomes of one load level; `seconds` from the first arrival to the last answer."""

    name: str
    seconds: float
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def latencies(self) -> list[float]:
        """Of the volumes that got an answer, sorted."""
        return sorted(one.seconds for one in self.outcomes if one.seconds == one.seconds)

    @property
    def errors(self) -> int:
        """Volumes neither answered nor refused."""
        return sum(bool(one.error) for one in self.outcomes)

    @property
    def refused(self) -> int:
        """Volumes told to come again later."""
        return sum(one.refused for one in self.outcomes)

    def percentile(self, share: float) -> float:
        """Seconds; NaN when nothing was answered."""
        found = self.latencies
        return found[min(len(found) - 1, int(share * len(found)))] if found else float("nan")


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Times of a Poisson process, the same for every candidate."""
    chance, now, found = random.Random(seed), 0.0, []
    while (now := now + chance.expovariate(rate)) < seconds:
        found.append(now)
    return found


def play(candidate: Candidate, name: str, times: list[float], volumes: list[Path]) -> Level:
    """Send one volume at each time; every one has a thread, so that a late answer delays nobody."""
    outcomes = [Outcome() for _ in times]
    threads, begun, clock = [], time.monotonic(), time.time()
    for number, at in enumerate(times):
        time.sleep(max(0.0, begun + at - time.monotonic()))
        body = volumes[number].read_bytes()
        arguments = (candidate, body, clock + at, outcomes[number])
        threads.append(threading.Thread(target=_one, args=arguments))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return Level(name, time.monotonic() - begun, outcomes)


def _one(candidate: Candidate, body: bytes, arrived: float, outcome: Outcome) -> None:
    try:
        status, said = _post(candidate, body)
        if status in {429, 503}:
            outcome.refused = True
        elif status not in {200, 202}:
            outcome.error = f"HTTP {status}: {said!r:.200}"
        elif candidate.later:
            _follow(candidate, str(said["id"]), arrived, outcome)
        elif "probabilities" in said:
            outcome.seconds = time.time() - arrived
        else:
            outcome.error = f"no answer: {said!r:.200}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        outcome.error = f"{type(error).__name__}: {error}"


def _follow(candidate: Candidate, job_id: str, arrived: float, outcome: Outcome) -> None:
    """Look every half second; the time that counts is the one the server noted when it was done."""
    path = f"{candidate.path.rstrip('/')}/{job_id}"
    while time.time() - arrived < MOST_WAIT_SECONDS:
        status, said = _request(candidate, "GET", path, None, {})
        if status == http.client.OK and said.get("state", "succeeded") == "succeeded":
            done = said["done"] if "done" in said else datetime.fromisoformat(said["finished_at"]).timestamp()
            outcome.seconds = float(done) - arrived
            return
        if said.get("state") == "failed" or status >= 500:
            outcome.error = f"{status} {said!r:.200}"
            return
        time.sleep(0.5)
    outcome.error = "no result in time"


def _post(candidate: Candidate, body: bytes) -> tuple[int, dict[str, Any]]:
    if not candidate.form:
        return _request(candidate, "POST", candidate.path, body, {"Content-Type": "application/octet-stream"})
    head = (
        f"--{_BOUNDARY}\r\n"
        f'Content-Disposition: form-data; name="{candidate.form}"; filename="head.nii.gz"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    whole = head.encode() + body + f"\r\n--{_BOUNDARY}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
    return _request(candidate, "POST", candidate.path, whole, kind)


def _request(
    candidate: Candidate, method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(candidate.url.removeprefix("http://"), timeout=MOST_WAIT_SECONDS)
    try:
        connection.request(method, path, body=body, headers={**candidate.headers, **headers})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    said = json.loads(text) if text[:1] == b"{" else {"text": text[:200].decode("utf-8", "replace")}
    return answer.status, said
