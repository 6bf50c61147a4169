"""The `hippocamp-admin` command: sites, workers, jobs and health, mostly from Redis itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from client.command import Program, service_options
from client.version import VERSION
from operators.commands import audit, doctor, jobs, repair, rescore, sites, top, workers


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@service_options
def main() -> None:
    """Run a Hippocamp system: its sites and keys, its workers, its jobs, its health.

    HIPPOCAMP_REDIS_URL names the Redis of the job store. Only `doctor` needs HIPPOCAMP_URL and a key.
    """


_COMMANDS: tuple[Callable[..., Any], ...] = (
    sites.sites,
    jobs.jobs,
    repair.retry,
    repair.quarantine,
    rescore.rescore,
    workers.workers,
    workers.drain,
    top.top,
    doctor.doctor,
    audit.audit,
)
click.version_option(VERSION)(main)
for _command in _COMMANDS:
    main.add_command(_command)  # type: ignore[arg-type]

if __name__ == "__main__":
    sys.exit(main())
