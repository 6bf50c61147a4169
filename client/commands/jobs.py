"""`hippocamp jobs`, `cancel` and `erase`: the site's jobs, and how to end or remove one."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from client.context import Session, put_json
from client.models import TERMINAL, JobStatus

STATES = click.Choice(["queued", "preprocessing", "queued_infer", "inferring", *sorted(TERMINAL)])


@click.command()
@click.option("--state", type=STATES, help="Only those in this state.")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1), help="How many, newest first."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document a job.")
@click.pass_obj
def jobs(session: Session, /, *, state: str | None, limit: int, as_json: bool) -> None:
    """List your site's jobs, newest first."""
    found = _own(session, state, limit)
    if as_json:
        for job in found:
            put_json(job.raw)
    else:
        Console().print(_table(found))


def _own(session: Session, state: str | None, limit: int) -> list[JobStatus]:
    found: list[JobStatus] = []
    with session.client() as client:
        after: str | None = None
        while len(found) < limit:
            page = client.jobs(state=state, after=after, limit=min(200, limit - len(found)))
            found += page.jobs
            after = page.following
            if after is None:
                break
    return found


def _table(found: list[JobStatus]) -> Table:
    table = Table("job", "state", "created", "seconds", "attempt", "error", box=None)
    for job in found:
        total = (job.raw.get("timings") or {}).get("total")
        table.add_row(
            job.id,
            job.state,
            str(job.raw.get("created_at", ""))[:19],
            "" if total is None else f"{total:.1f}",
            str(job.raw.get("attempt", "")),
            job.error.code if job.error else "",
        )
    return table


@click.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="JOB_ID...")
@click.pass_obj
def cancel(session: Session, job_ids: tuple[str, ...]) -> None:
    """End jobs that have not ended yet."""
    with session.client() as client:
        for job_id in job_ids:
            click.echo(f"{job_id}  {client.cancel(job_id).state}")


@click.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="JOB_ID...")
@click.confirmation_option("-y", "--yes", prompt="Erase the volumes, results and pictures of these jobs?")
@click.pass_obj
def erase(session: Session, job_ids: tuple[str, ...]) -> None:
    """Erase jobs with all they left: volume, result, pictures."""
    with session.client() as client:
        for job_id in job_ids:
            client.erase(job_id)
            click.echo(f"{job_id}  erased")
