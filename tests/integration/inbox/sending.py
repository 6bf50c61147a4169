"""A sender of DICOM instances, and what the gateway says about what it collects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from pydicom.dataset import FileDataset

from tests.integration.dicomweb.series import encoded, slices
from tests.support.waiting import eventually

STUDY = "1.2.3"
T1, T2 = f"{STUDY}.1", f"{STUDY}.2"
KIND = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=B'}
Answer = dict[str, Any]


def volume(series: str = T1, count: int = 20, **about: object) -> list[FileDataset]:
    """A whole T1 series."""
    return slices(series, count, **about)


def body(instances: Iterable[FileDataset]) -> bytes:
    parts = (b"--B\r\nContent-Type: application/dicom\r\n\r\n" + encoded(one) + b"\r\n" for one in instances)
    return b"".join(parts) + b"--B--"


@dataclass(frozen=True)
class Sender:
    """http: sends the site's key."""

    http: httpx.Client

    def stow(self, instances: Sequence[FileDataset], *, each: int = 1000, **headers: str) -> list[Answer]:
        """In requests of so many; every answer."""
        found = []
        for content in [body(instances[at : at + each]) for at in range(0, len(instances), each)]:
            answer = self.http.post("/dicom-web/studies", content=content, headers=KIND | headers)
            found.append({"status": answer.status_code, **answer.json()})
        return found

    def collected(self) -> list[Answer]:
        return list(self.http.get("/v1/inbox").raise_for_status().json()["studies"])

    def jobs(self, study: str = STUDY) -> list[Answer]:
        """The study's jobs, oldest first."""
        answer = self.http.get(f"/dicom-web/studies/{study}/jobs")
        return list(answer.json()["jobs"]) if answer.status_code == 200 else []

    def job(self, count: int = 1, *, study: str = STUDY, within: float = 60) -> Answer:
        """The latest job, once the study has so many and waits for nothing."""
        eventually(lambda: self.is_settled(study) and len(self.jobs(study)) >= count, within=within)
        found = self.jobs(study)
        assert len(found) == count, found
        return found[-1]

    def is_settled(self, study: str = STUDY) -> bool:
        """Whether what came of it is a job, or is not kept any more."""
        answer = self.http.get(f"/dicom-web/studies/{study}/jobs")
        found = answer.json().get("collected")
        return answer.status_code == 404 or found is None or found["state"] == "submitted"

    def waits_for(self, words: str) -> dict[str, Any]:
        """The only study that is collected, once it is told that it waits for this."""
        eventually(lambda: words in str([one["waits_for"] for one in self.collected()]), within=60)
        (found,) = self.collected()
        return found

    def close(self, study: str = STUDY) -> httpx.Response:
        return self.http.post(f"/dicom-web/studies/{study}/close")


def reasons(answer: Answer) -> set[tuple[int, str]]:
    """Failure reasons and texts of one answer."""
    failed = answer.get("00081198", {}).get("Value", [])
    return {(one["00081197"]["Value"][0], one["0040A160"]["Value"][0]) for one in failed}


def images(answer: Answer) -> int:
    """How many instances one answer says are stored."""
    return len(answer.get("00081199", {}).get("Value", []))
