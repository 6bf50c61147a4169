"""What can be asked of the service, one conversation each; both clients drive these."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Unpack

from client.errors import JobEnded, Refused, WaitedTooLong
from client.exchange import Call, Conversation, Pause, RetryPolicy, ServiceReply, with_retries
from client.models import JobPage, JobResult, JobStatus
from client.sources import Source
from client.submit_options import SubmitOptions, headers_of

REPORTS = {
    "json": "application/json",
    "fhir": "application/fhir+json",
    "sr": "application/dicom",
    "dicom": 'multipart/related; type="application/dicom"',
    "pdf": "application/pdf",
}
"""Report format -> media type asked for; `dicom` is the structured report and the overlay picture."""

POLL_SECONDS = 1.0
_LONGEST_POLL = 30.0


@dataclass(frozen=True)
class Conversations:
    """Every call of the API as a generator that a client drives."""

    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)

    def submit(
        self,
        source: Source,
        *,
        key: str | None = None,
        **submit_options: Unpack[SubmitOptions],
    ) -> Conversation[JobStatus]:
        """Send a volume. The key makes every repetition of this call one job."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Idempotency-Key": key or f"hc-{uuid.uuid4().hex}",
        }
        headers |= headers_of(submit_options)
        answer = yield from with_retries(
            Call("POST", "/v1/jobs", headers=headers, body=source), self.retry_policy
        )
        return JobStatus.of(answer.json())

    def job(self, job_id: str) -> Conversation[JobStatus]:
        """The job as it is now."""
        answer = yield from self._get(f"/v1/jobs/{job_id}")
        return JobStatus.of(answer.json())

    def wait(self, job_id: str, *, timeout: float | None = None) -> Conversation[JobStatus]:
        """The job once it has ended; asks no more often than the service says. WaitedTooLong otherwise."""
        waited = 0.0
        while True:
            answer = yield from self._get(f"/v1/jobs/{job_id}")
            job = JobStatus.of(answer.json())
            if job.is_terminal:
                return job
            seconds = min(_LONGEST_POLL, answer.retry_after or POLL_SECONDS)
            if timeout is not None and waited + seconds > timeout:
                raise WaitedTooLong(f"{job_id} is {job.state} after {timeout:g} s; it goes on")
            yield Pause(seconds)
            waited += seconds

    def result(self, job_id: str, *, timeout: float | None = None) -> Conversation[JobResult]:
        """Wait for the job and read its result; JobEnded when it has none."""
        job = yield from self.wait(job_id, timeout=timeout)
        if job.state != "succeeded":
            raise JobEnded(job)
        answer = yield from self._get(f"/v1/jobs/{job_id}/result")
        return JobResult.of(answer.json())

    def jobs(self, *, state: str | None, after: str | None, limit: int) -> Conversation[JobPage]:
        """A page of the site's jobs, newest first."""
        query: dict[str, str | int] = {"limit": limit}
        query |= {k: v for k, v in (("state", state), ("after", after)) if v}
        answer = yield from self._get("/v1/jobs", **query)
        page = answer.json()
        return JobPage(tuple(JobStatus.of(one) for one in page["jobs"]), page.get("next"))

    def report(self, job_id: str, *, kind: str) -> Conversation[ServiceReply]:
        """The result as a document; `kind` is a key of REPORTS."""
        call = Call("GET", f"/v1/jobs/{job_id}/result", headers={"Accept": REPORTS[kind]})
        return (yield from with_retries(call, self.retry_policy))

    def overlay(self, job_id: str, *, which: str | None, number: int | None) -> Conversation[bytes]:
        """Slice `number` (1 to 32) as PNG under a class's map, or the map as a NIfTI volume."""
        if number is None:
            path, query = f"/v1/jobs/{job_id}/explanation.nii.gz", {"class": which} if which else {}
        else:
            path, query = f"/v1/jobs/{job_id}/slices/{number}.png", {"overlay": which} if which else {}
        answer = yield from self._get(path, **query)
        return answer.content

    def cancel(self, job_id: str) -> Conversation[JobStatus]:
        """End the job; Refused when it has ended otherwise already."""
        answer = yield from with_retries(Call("POST", f"/v1/jobs/{job_id}/cancel"), self.retry_policy)
        return JobStatus.of(answer.json())

    def erase(self, job_id: str) -> Conversation[None]:
        """Erase the job, its volume, result and pictures; one that was erased before is."""
        try:
            yield from with_retries(Call("DELETE", f"/v1/jobs/{job_id}"), self.retry_policy)
        except Refused as refused:
            if refused.problem.code != "job.erased":
                raise

    def get(self, path: str) -> Conversation[ServiceReply]:
        """Any other address, such as /readyz or /metrics; an answer of any status but those worth a retry."""
        answer = yield from self._get(path)
        return answer

    def add_endpoint(self, url: str) -> Conversation[dict[str, Any]]:
        """Add a webhook endpoint; its secret is in the answer, this once."""
        key = {"Idempotency-Key": uuid.uuid4().hex}
        call = Call("POST", "/v1/webhook-endpoints", data={"url": url}, headers=key)
        answer = yield from with_retries(call, self.retry_policy)
        return dict(answer.json())

    def enable_endpoint(self, endpoint_id: str) -> Conversation[dict[str, Any]]:
        """Announce there again, after a 410 had disabled the endpoint."""
        call = Call("POST", f"/v1/webhook-endpoints/{endpoint_id}/enable")
        answer = yield from with_retries(call, self.retry_policy)
        return dict(answer.json())

    def remove_endpoint(self, endpoint_id: str) -> Conversation[None]:
        """Remove a webhook endpoint."""
        yield from with_retries(Call("DELETE", f"/v1/webhook-endpoints/{endpoint_id}"), self.retry_policy)

    def replay_delivery(self, delivery_id: str) -> Conversation[dict[str, Any]]:
        """Queue a delivery that has ended once more; Refused while it has not ended."""
        call = Call("POST", f"/v1/webhook-deliveries/{delivery_id}/replay", repeatable=False)
        answer = yield from with_retries(call, self.retry_policy)
        return dict(answer.json())

    def _get(self, path: str, **query: str | int) -> Conversation[ServiceReply]:
        return (yield from with_retries(Call("GET", path, query=query), self.retry_policy))
