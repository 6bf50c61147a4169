"""A submission as it goes to the job store."""

from __future__ import annotations

import json

from contracts.job import Submission


def test_numbers_of_zero_are_sent_and_what_is_not_given_is_not() -> None:
    fields = json.loads(
        Submission(
            id="job_1", site="north", content_digest="d", input_blob="inputs/x", size_bytes=0, media="nifti"
        ).to_record()
    )
    assert fields["size_bytes"] == fields["stored_bytes"] == 0
    assert not {"unstored", "batch", "deadline_ms", "patient_age"} & set(fields)
