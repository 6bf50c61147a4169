"""The client for asyncio: the same calls as `Client`, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeVar, Unpack

import httpx

from client.connection import Connection, answer_of, no_answer, request_parts
from client.conversations import Conversations
from client.exchange import Call, Conversation, RetryPolicy, ServiceReply
from client.models import JobPage, JobResult, JobStatus
from client.sources import Source, open_source
from client.submit_options import SubmitOptions

T = TypeVar("T")


class AsyncClient:
    """One service as one site sees it, for one event loop; use it with `async with`."""

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
        self._http = httpx.AsyncClient(**self.connection.options())

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def submit(
        self,
        volume: str | Path | bytes | BinaryIO | Source,
        *,
        idempotency_key: str | None = None,
        **submit_options: Unpack[SubmitOptions],
    ) -> AsyncJobHandle:
        """Send a file, a folder of DICOM slices, bytes or a stream. BadInput, NotAllowed, Unavailable."""
        source = volume if isinstance(volume, Source) else await asyncio.to_thread(open_source, volume)
        try:
            talk = self._say.submit(source, key=idempotency_key, **submit_options)
            return AsyncJobHandle(self, await self._drive(talk))
        finally:
            if source is not volume:
                source.close()

    async def job(self, job_id: str) -> JobStatus:
        """The job as it is now; NotFound."""
        return await self._drive(self._say.job(job_id))

    async def wait(self, job_id: str, *, timeout: float | None = None) -> JobStatus:
        """The job once it has ended; WaitedTooLong after `timeout` seconds."""
        return await self._drive(self._say.wait(job_id, timeout=timeout))

    async def result(self, job_id: str, *, timeout: float | None = None) -> JobResult:
        """Wait and read the result; JobEnded when there is none, WaitedTooLong after `timeout` seconds."""
        return await self._drive(self._say.result(job_id, timeout=timeout))

    async def jobs(self, *, state: str | None = None, after: str | None = None, limit: int = 50) -> JobPage:
        """A page of the site's jobs, newest first; `after` is `following` of the page before."""
        return await self._drive(self._say.jobs(state=state, after=after, limit=limit))

    async def report(self, job_id: str, kind: str = "json") -> bytes:
        """The result as `json`, `fhir`, `sr` (DICOM SR), `dicom` (SR and overlay, multipart) or `pdf`."""
        return (await self._drive(self._say.report(job_id, kind=kind))).content

    async def overlay(self, job_id: str, *, which: str | None = None, number: int | None = None) -> bytes:
        """Slice `number` (1 to 32) as PNG, or without it the map as .nii.gz; `which`: cdr0, cdr05, cdr1."""
        return await self._drive(self._say.overlay(job_id, which=which, number=number))

    async def cancel(self, job_id: str) -> JobStatus:
        """End the job; Refused (`request.wrong_state`) when it has ended otherwise already."""
        return await self._drive(self._say.cancel(job_id))

    async def erase(self, job_id: str) -> None:
        """Erase the job, its volume, result and pictures."""
        await self._drive(self._say.erase(job_id))

    async def _drive(self, talk: Conversation[T]) -> T:
        try:
            step = next(talk)
            while True:
                if isinstance(step, Call):
                    step = talk.send(await self._send(step))
                else:
                    await asyncio.sleep(step.seconds)
                    step = talk.send(ServiceReply(0))
        except StopIteration as end:
            value: T = end.value
            return value

    async def _send(self, call: Call) -> ServiceReply:
        try:
            parts = request_parts(call)
            if call.body:
                parts["content"] = _pieces(call.body)
            return answer_of(await self._http.request(call.method, call.path, **parts))
        except httpx.TransportError as error:
            return no_answer(error)


async def _pieces(source: Source) -> AsyncIterator[bytes]:
    reader = source.pieces()
    while piece := await asyncio.to_thread(next, reader, b""):
        yield piece


@dataclass(frozen=True)
class AsyncJobHandle:
    """A submitted job: `job` is what the service said at submission."""

    client: AsyncClient
    job: JobStatus

    @property
    def id(self) -> str:
        """The job's id."""
        return self.job.id

    async def wait(self, *, timeout: float | None = None) -> JobStatus:
        """The job once it has ended."""
        return await self.client.wait(self.id, timeout=timeout)

    async def result(self, *, timeout: float | None = None) -> JobResult:
        """Wait and read the result."""
        return await self.client.result(self.id, timeout=timeout)

    async def cancel(self) -> JobStatus:
        """End the job."""
        return await self.client.cancel(self.id)
