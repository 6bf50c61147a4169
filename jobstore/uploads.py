"""Moves of the job store that concern stored uploads: which of them a job names, and which none ever will.

An upload is deleted only after it is withdrawn: a submit that names it makes no record from then on, however
late it reaches Redis (docs/explanation/decisions/0020-an-upload-is-withdrawn-before-it-is-deleted.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.job import Job, Submission

Run = Callable[..., Any]


@dataclass(frozen=True)
class Uploads:
    """Part of `jobstore.store.JobStore`, which gives it its two ways to run a script."""

    run: Run
    run_replicated: Run

    def withdraw(self, job_id: str, upload: str) -> dict[str, str]:
        """The record of this id, {} when there is none; unless it names this upload, no record ever will.

        For a submit whose answer was lost: it may still be on its way. NotReplicated.
        """
        flat = self.run_replicated("withdraw", job_id, upload)
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def replace(self, job: Job, submission: Submission) -> bool:
        """Have a job that waits name this upload, because its own is gone; whether it does now."""
        new = (submission.input_blob, submission.input_digest, submission.stored_bytes)
        return bool(self.run("replace_upload", job.id, job.text("input_blob"), *new))

    def withdraw_orphans(self, uploads: Sequence[str], *, this_round: int, grace_rounds: int) -> int:
        """Note which of these no job names; delete those first seen `grace_rounds` rounds ago."""
        return int(self.run("orphans", this_round, grace_rounds, json.dumps(list(uploads))))
