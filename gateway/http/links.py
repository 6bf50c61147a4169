"""Addresses of what belongs to a job: built once by Flask, then only filled in."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from flask import current_app, request, url_for

Link = Callable[..., str]
"""Endpoint and `job_id` -> path."""

_PLACE = "job_00000000000000000000000000000000"


def linker() -> Link:
    """As `url_for` in this request, which asked a dozen times takes longer than the rest of a poll."""
    root = request.root_path
    return lambda endpoint, *, job_id: _pattern(root, endpoint).replace(_PLACE, job_id)


def lasting_linker() -> Link:
    """`linker` for the time when this request is over and only its answer is still to come."""
    adapter = current_app.create_url_adapter(request)
    assert adapter is not None  # noqa: S101  only None without a request
    return lambda endpoint, **values: adapter.build(endpoint, values)


@lru_cache(maxsize=512)
def _pattern(root: str, endpoint: str) -> str:
    """For an application that is mounted at `root`."""
    del root
    return url_for(endpoint, job_id=_PLACE)
