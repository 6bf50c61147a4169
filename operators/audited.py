"""Operators' commands that change something leave a line in the audit log, also when they were refused."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import redis

_DONE, _REFUSED, _FAILED = 200, 409, 500


@contextmanager
def noted(
    client: redis.Redis, what: str, *, site: str = "", job: str = "", about: str = ""
) -> Iterator[None]:
    """Around the deed. what: its command, as `sites.add`. about: what else it named; no secret.

    The operator is known by the account of the machine that the command ran on.
    """
    from contracts.errors import HippocampError
    from jobstore.operator_audit import tell
    from runtime.audit import Event

    outcome = _FAILED
    try:
        yield
        outcome = _DONE
    except (click.ClickException, HippocampError):
        outcome = _REFUSED
        raise
    finally:
        who = f"operator:{getpass.getuser()}"
        tell(
            client,
            Event(
                who=who, what=f"operator.{what}", site=site, job=job, about=about, where=socket.gethostname(),
                outcome=outcome,
            ),
        )  # fmt: skip
