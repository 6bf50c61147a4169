"""What `doctor` finds out by sending a scan of its own, with the site's key and all its quotas.

A system can answer every probe and still refuse what hospitals send. The scan is a pattern: it is taken,
worked on, and refused by the quality gate, which is a good end. It is erased afterwards, if the key may.
"""

from __future__ import annotations

import os
import struct
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

from client.connection import Connection
from operators.doctor.checks import Finding, Verdict, json_of

_SIDE = 96
"""Voxels of 2 mm: 1.8 MB, more than what the gateway takes without asking the job store first."""
_ENDED = frozenset({"succeeded", "failed", "canceled", "expired"})
_JUDGED = ("quality.", "input.")
_WHAT = "submit"


def canary_checks(connection: Connection, *, wait_seconds: float = 60) -> Iterator[Finding]:
    """One finding: whether a scan is taken and worked on; skipped without a key."""
    if not (connection.key or os.environ.get("HIPPOCAMP_API_KEY")):
        advice = "Name a key in HIPPOCAMP_API_KEY, and doctor sends a small scan with it"
        yield Finding(_WHAT, Verdict.SKIPPED, "no API key is given", advice)
        return
    try:
        with httpx.Client(**connection.options()) as http:
            yield _Canary(http, wait_seconds).found()
    except httpx.HTTPError as error:
        yield Finding(_WHAT, Verdict.BAD, f"{type(error).__name__}: {error}", "Read the gateway's log")


def scan() -> bytes:
    """An uncompressed NIfTI-1 of a pattern that is like no other one's."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, _SIDE, _SIDE, _SIDE, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 4, 16)  # int16
    struct.pack_into("<8f", header, 76, 1, 2, 2, 2, 1, 1, 1, 1)
    struct.pack_into("<3f", header, 108, 352, 1, 0)
    struct.pack_into("<2h", header, 252, 0, 1)
    struct.pack_into("<12f", header, 280, 2, 0, 0, -96, 0, 2, 0, -96, 0, 0, 2, -96)
    header[344:348] = b"n+1\0"
    rows = b"".join(struct.pack(f"<{_SIDE}h", *((x * y) % 1000 for x in range(_SIDE))) for y in range(_SIDE))
    voxels = bytearray(rows * _SIDE)
    voxels[:16] = bytes(byte & 0x7F for byte in os.urandom(16))
    return bytes(header) + bytes(voxels)


@dataclass
class _Canary:
    http: httpx.Client
    wait_seconds: float

    def found(self) -> Finding:
        """Send, follow, erase."""
        began = time.monotonic()
        headers = {
            "Idempotency-Key": f"doctor-{uuid.uuid4().hex}",
            "Content-Type": "application/octet-stream",
            "Hippocamp-Priority": "stat",
        }
        answer = self.http.post("/v1/jobs", content=scan(), headers=headers)
        told = json_of(answer)
        if answer.status_code not in {200, 202} or "id" not in told:
            return _refused(answer, told)
        taken = time.monotonic() - began
        try:
            return self._followed(told, taken)
        finally:
            with suppress(httpx.HTTPError):
                self.http.delete(f"/v1/jobs/{told['id']}")

    def _followed(self, job: dict[str, Any], taken: float) -> Finding:
        ends = time.monotonic() + self.wait_seconds
        while job["state"] not in _ENDED and time.monotonic() < ends:
            time.sleep(0.5)
            answer = self.http.get(f"/v1/jobs/{job['id']}")
            if answer.status_code in {401, 403}:
                return _good(f"a scan was taken in {taken:.1f} s; this key may not follow it")
            job = json_of(answer) if answer.status_code == 200 else job
        if job["state"] in _ENDED:
            return _end(job, taken)
        advice = "See the rows on workers and drained stages; `hippocamp-admin top` shows what waits"
        return _bad(f"a scan was taken, but is {job['state']} after {self.wait_seconds:.0f} s", advice)


def _end(job: dict[str, Any], taken: float) -> Finding:
    error = job.get("error") or {"code": "", "detail": ""}
    if job["state"] == "succeeded" or error["code"].startswith(_JUDGED):
        total = (job.get("timings") or {}).get("total") or 0.0
        return _good(f"a scan was taken in {taken:.1f} s, and worked on in {total:.1f} s")
    found = f"a scan was taken, but {job['state']}: {error['code']} {error['detail']}"
    return _bad(found, "Read the workers' log")


def _refused(answer: httpx.Response, told: dict[str, Any]) -> Finding:
    why = f"{told.get('code', answer.status_code)}: {told.get('detail', '')}"
    if answer.status_code == 403:
        return Finding(_WHAT, Verdict.SKIPPED, "this key may not submit", "Name one with the scope submit")
    if answer.status_code == 429:
        return Finding(_WHAT, Verdict.ODD, why, "The site is at a quota: `hippocamp-admin sites show`")
    return _bad(f"a scan is refused: {why}", "Read the gateway's log, by its trace_id")


def _good(found: str) -> Finding:
    return Finding(_WHAT, Verdict.GOOD, found)


def _bad(found: str, advice: str) -> Finding:
    return Finding(_WHAT, Verdict.BAD, found, advice)
