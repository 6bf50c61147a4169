"""What may be said about a volume when it is sent, and the header that says it."""

from __future__ import annotations

from typing import TypedDict


class SubmitOptions(TypedDict, total=False):
    """Each may be left out.

    priority: stat, routine or bulk. deadline_seconds, not_before_seconds: from now. model: digest of the
    model that is to answer. age (years), sex (F or M), education (level 1 to 5), mmse (points): what is known
    of the person, for the clinical answer beside the image's.
    """

    priority: str | None
    deadline_seconds: int | None
    not_before_seconds: int | None
    model: str | None
    age: float | None
    sex: str | None
    education: int | None
    mmse: int | None


COVARIATES = ("age", "sex", "education", "mmse")
_HEADERS = {
    "priority": "Hippocamp-Priority",
    "deadline_seconds": "Hippocamp-Deadline-Seconds",
    "not_before_seconds": "Hippocamp-Not-Before-Seconds",
    "model": "Hippocamp-Model",
    "age": "Hippocamp-Age",
    "sex": "Hippocamp-Sex",
    "education": "Hippocamp-Education",
    "mmse": "Hippocamp-MMSE",
}


def headers_of(submit_options: SubmitOptions) -> dict[str, str]:
    """As the service reads them beside a raw body."""
    said = {name: submit_options.get(name) for name in _HEADERS}
    return {_HEADERS[name]: str(value) for name, value in said.items() if value is not None}
