"""Addresses of what belongs to a job: built once by Flask, then only filled in."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from flask import request, url_for

Link = Callable[..., str]
"""Endpoint and `job_id` -> path."""

_PLACE = "job_00000000000000000000000000000000"


def link_to(endpoint: str, *, job_id: str) -> str:
    """As `url_for`, which takes longer than the rest of a poll when it is asked a dozen times."""
    return _pattern(request.root_path, endpoint).replace(_PLACE, job_id)


@lru_cache(maxsize=512)
def _pattern(root: str, endpoint: str) -> str:
    """For an application that is mounted at `root`."""
    del root
    return url_for(endpoint, job_id=_PLACE)
