"""The client for plain code: `Client("https://…", key=…).submit(path).result()`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, TypeVar, Unpack

import httpx

from client.connection import Connection, answer_of, no_answer, request_parts
from client.conversations import Conversations
from client.exchange import Call, Conversation, RetryPolicy, ServiceReply
from client.models import JobPage, JobResult, JobStatus
from client.sources import Source, open_source
from client.submit_options import SubmitOptions

T = TypeVar("T")


class Client:
    """One service as one site sees it. Threads may share it; close it, or use it with `with`."""

    def __init__(
        self,
        url: str = "",
        *,
        key: str = "",
        timeout_seconds: float = 60.0,
        retry_policy: RetryPolicy | None = None,
    ) -> None:  # fmt: skip
        self.connection = Connection(url, key, timeout_seconds)
        self._say = Conversations(retry_policy or RetryPolicy())
        self._http = httpx.Client(**self.connection.options())

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(
        self,
        volume: str | Path | bytes | BinaryIO | Source,
        *,
        idempotency_key: str | None = None,
        **submit_options: Unpack[SubmitOptions],
    ) -> JobHandle:
        """Send a file, a folder of DICOM slices, bytes or a stream. BadInput, NotAllowed, Unavailable."""
        source = volume if isinstance(volume, Source) else open_source(volume)
        try:
            talk = self._say.submit(source, key=idempotency_key, **submit_options)
            return JobHandle(self, self._drive(talk))
        finally:
            if source is not volume:
                source.close()

    def job(self, job_id: str) -> JobStatus:
        """The job as it is now; NotFound."""
        return self._drive(self._say.job(job_id))

    def wait(self, job_id: str, *, timeout: float | None = None) -> JobStatus:
        """The job once it has ended; WaitedTooLong after `timeout` seconds."""
        return self._drive(self._say.wait(job_id, timeout=timeout))

    def result(self, job_id: str, *, timeout: float | None = None) -> JobResult:
        """Wait and read the result; JobEnded when there is none, WaitedTooLong after `timeout` seconds."""
        return self._drive(self._say.result(job_id, timeout=timeout))

    def jobs(self, *, state: str | None = None, after: str | None = None, limit: int = 50) -> JobPage:
        """A page of the site's jobs, newest first; `after` is `following` of the page before."""
        return self._drive(self._say.jobs(state=state, after=after, limit=limit))

    def report(self, job_id: str, kind: str = "json") -> bytes:
        """The result as `json`, `fhir`, `sr` (DICOM SR), `dicom` (SR and overlay, multipart) or `pdf`."""
        return self._drive(self._say.report(job_id, kind=kind)).content

    def overlay(self, job_id: str, *, which: str | None = None, number: int | None = None) -> bytes:
        """Slice `number` (1 to 32) as PNG, or without it the map as .nii.gz; `which`: cdr0, cdr05, cdr1."""
        return self._drive(self._say.overlay(job_id, which=which, number=number))

    def cancel(self, job_id: str) -> JobStatus:
        """End the job; Refused (`request.wrong_state`) when it has ended otherwise already."""
        return self._drive(self._say.cancel(job_id))

    def erase(self, job_id: str) -> None:
        """Erase the job, its volume, result and pictures."""
        self._drive(self._say.erase(job_id))

    def get(self, path: str) -> ServiceReply:
        """Any other address of the service."""
        return self._drive(self._say.get(path))

    def add_endpoint(self, url: str) -> dict[str, Any]:
        """Add a webhook endpoint; `id` and `secret` are in the answer."""
        return self._drive(self._say.add_endpoint(url))

    def enable_endpoint(self, endpoint_id: str) -> dict[str, Any]:
        """Announce there again, after a 410 had disabled the endpoint."""
        return self._drive(self._say.enable_endpoint(endpoint_id))

    def remove_endpoint(self, endpoint_id: str) -> None:
        """Remove a webhook endpoint."""
        self._drive(self._say.remove_endpoint(endpoint_id))

    def replay_delivery(self, delivery_id: str) -> dict[str, Any]:
        """Queue a webhook delivery that has ended once more; Refused while it has not ended."""
        return self._drive(self._say.replay_delivery(delivery_id))

    def _drive(self, talk: Conversation[T]) -> T:
        try:
            step = next(talk)
            while True:
                if isinstance(step, Call):
                    step = talk.send(self._send(step))
                else:
                    time.sleep(step.seconds)
                    step = talk.send(ServiceReply(0))
        except StopIteration as end:
            value: T = end.value
            return value

    def _send(self, call: Call) -> ServiceReply:
        body = call.body.pieces() if call.body else None
        try:
            parts = request_parts(call)
            if body is not None:
                parts["content"] = body
            return answer_of(self._http.request(call.method, call.path, **parts))
        except httpx.TransportError as error:
            return no_answer(error)


@dataclass(frozen=True)
class JobHandle:
    """A submitted job: `job` is what the service said at submission."""

    client: Client
    job: JobStatus

    @property
    def id(self) -> str:
        """The job's id."""
        return self.job.id

    def now(self) -> JobStatus:
        """The job as it is now."""
        return self.client.job(self.id)

    def wait(self, *, timeout: float | None = None) -> JobStatus:
        """The job once it has ended."""
        return self.client.wait(self.id, timeout=timeout)

    def result(self, *, timeout: float | None = None) -> JobResult:
        """Wait and read the result."""
        return self.client.result(self.id, timeout=timeout)

    def report(self, kind: str = "json") -> bytes:
        """The result as a document."""
        return self.client.report(self.id, kind)

    def cancel(self) -> JobStatus:
        """End the job."""
        return self.client.cancel(self.id)

    def erase(self) -> None:
        """Erase the job and everything it left."""
        self.client.erase(self.id)
