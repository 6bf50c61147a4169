"""What a test wants to do with the running gateway."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.waiting import MOST_WAIT_SECONDS

TERMINAL = {"succeeded", "failed", "canceled", "expired"}


@dataclass(frozen=True)
class Service:
    """The gateway as an integration engineer uses it."""

    http: httpx.Client

    def send(self, body: bytes, name: str = "scan.nii.gz") -> httpx.Response:
        """Submit as a multipart upload."""
        return self.http.post("/v1/jobs", files={"file": (name, body)})

    def send_raw(self, body: bytes) -> httpx.Response:
        """Submit as a raw body."""
        headers = {"Content-Type": "application/octet-stream"}
        return self.http.post("/v1/jobs", content=body, headers=headers)

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as it is now."""
        return dict(self.http.get(f"/v1/jobs/{job_id}").raise_for_status().json())

    def finished(self, job_id: str, *, within: float = MOST_WAIT_SECONDS) -> dict[str, Any]:
        """The job once it is terminal."""
        return self.wait(job_id, TERMINAL, within=within)

    def wait(self, job_id: str, states: set[str], *, within: float = MOST_WAIT_SECONDS) -> dict[str, Any]:
        """The job once it is in one of the states."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            job = self.job(job_id)
            if job["state"] in states:
                return job
            time.sleep(0.05)
        raise AssertionError(f"after {within} s the job is {job}")

    def result(self, job_id: str) -> dict[str, Any]:
        """The answer of a succeeded job."""
        job = self.finished(job_id)
        assert job["state"] == "succeeded", job
        return dict(self.http.get(f"/v1/jobs/{job_id}/result").raise_for_status().json())
