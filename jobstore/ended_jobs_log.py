"""Log lines about records that a script of the job store ended or moved while no worker held them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from contracts.job import Claim
from contracts.states import Stage

_log = logging.getLogger("hippocamp.line")


def tell(events: Iterable[Sequence[str]]) -> None:
    """One line each; the fields are those of `told` in lua/prelude.lua."""
    for event, id_, site, stage, attempt, fence, trace_id, job in events:
        record = {"site": site, "attempt": attempt, "trace_id": trace_id, **({"job_id": job} if job else {})}
        _log.warning(event, extra=Claim(id_, Stage(stage), int(fence), record).context)
