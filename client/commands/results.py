"""`hippocamp result`, `watch`, `report` and `overlay`: what became of a job, and its documents."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from client.context import Session, describe_job, describe_result, put_json
from client.conversations import REPORTS
from client.errors import JobEnded
from client.exit_codes import Exit

_SUFFIX = {"json": "json", "fhir": "fhir.json", "sr": "sr.dcm", "dicom": "multipart", "pdf": "pdf"}
_OUT = click.option("-o", "--out", type=click.Path(path_type=Path), help="File to write; - for stdout.")


@click.command()
@click.argument("job_id")
@click.option("--json", "as_json", is_flag=True, help="The service's JSON.")
@click.option("--timeout", type=float, help="Seconds to wait for it.")
@click.pass_obj
def result(session: Session, job_id: str, *, as_json: bool, timeout: float | None) -> None:
    """Wait for a job and print its result."""
    with session.client() as client:
        found = client.result(job_id, timeout=timeout)
    put_json(found.raw) if as_json else click.echo(describe_result(found))


@click.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="JOB_ID...")
@click.option("--json", "as_json", is_flag=True, help="One JSON document at every change.")
@click.option("--every", default=1.0, show_default=True, help="Seconds between two looks.")
@click.pass_obj
def watch(session: Session, job_ids: tuple[str, ...], *, as_json: bool, every: float) -> None:
    """Print every change of the jobs until all have ended."""
    seen: dict[str, str] = {}
    ended_well = True
    with session.client() as client:
        left = list(job_ids)
        while left:
            for job_id in list(left):
                job = client.job(job_id)
                line = describe_job(job)
                if seen.get(job_id) != line:
                    seen[job_id] = line
                    put_json(job.raw) if as_json else click.echo(line)
                if job.is_terminal:
                    left.remove(job_id)
                    ended_well = ended_well and job.state == "succeeded"
            if left:
                time.sleep(every)
    sys.exit(Exit.OK if ended_well else Exit.JOB_ENDED)


@click.command()
@click.argument("job_id")
@click.option("--format", "kind", type=click.Choice(list(REPORTS)), default="pdf", show_default=True)
@_OUT
@click.pass_obj
def report(session: Session, job_id: str, *, kind: str, out: Path | None) -> None:
    """Save the result as JSON, FHIR R4, DICOM SR (`dicom`: with the overlay picture) or a one-page PDF."""
    with session.client() as client:
        job = client.wait(job_id)
        if job.state != "succeeded":
            raise JobEnded(job)
        _save(client.report(job_id, kind), out or Path(f"{job_id}.{_SUFFIX[kind]}"))


@click.command()
@click.argument("job_id")
@click.option(
    "--class", "which", type=click.Choice(["cdr0", "cdr05", "cdr1"]), help="Default: the decided one."
)
@click.option("--slice", "number", type=click.IntRange(1, 32), help="One slice as PNG instead of the volume.")
@_OUT
@click.pass_obj
def overlay(
    session: Session, job_id: str, *, which: str | None, number: int | None, out: Path | None
) -> None:
    """Save where the model looked: a NIfTI volume in the input's space, or one slice as PNG."""
    with session.client() as client:
        data = client.overlay(job_id, which=which, number=number)
    name = f"{job_id}-{number:02d}.png" if number else f"{job_id}.nii.gz"
    _save(data, out or Path(name))


def _save(data: bytes, out: Path) -> None:
    if str(out) == "-":
        sys.stdout.buffer.write(data)
        return
    out.write_bytes(data)
    click.echo(str(out))
