"""`hippocamp submit`: send volumes, and wait for their results when asked."""

from __future__ import annotations

import sys
from typing import TypedDict, Unpack

import click

from client.context import Session, console, describe_job, describe_result, put_json
from client.errors import ClientError
from client.exit_codes import Exit
from client.sources import open_source
from client.sync import Client


class Options(TypedDict):
    """What the command line may say."""

    wait: bool
    as_json: bool
    priority: str | None
    deadline: int | None
    not_before: int | None
    idempotency_key: str | None
    wait_seconds: float | None
    model: str | None
    age: float | None
    sex: str | None
    education: int | None
    mmse: int | None


PRIORITIES = click.Choice(["stat", "routine", "bulk"])


@click.command()
@click.argument("volumes", nargs=-1, required=True, type=click.Path(), metavar="FILE|FOLDER|-...")
@click.option("--wait", is_flag=True, help="Wait for each result and print it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document a volume, on stdout.")
@click.option("--priority", type=PRIORITIES, help="Order among your site's own jobs.")
@click.option("--deadline", type=click.IntRange(1), help="Give up when it is not done after so many seconds.")
@click.option("--not-before", type=click.IntRange(1), help="Start no sooner than in so many seconds.")
@click.option("--key-of-request", "idempotency_key", help="Idempotency key: the same one makes one job.")
@click.option("--model", help="Digest of the model that is to answer; default: the one in service.")
@click.option("--age", type=click.FloatRange(18, 120), help="Years; for the clinical answer, like the next.")
@click.option("--sex", type=click.Choice(["F", "M"]))
@click.option("--education", type=click.IntRange(1, 5), help="OASIS level: 2 high school, 4 degree.")
@click.option("--mmse", type=click.IntRange(0, 30), help="Points of the Mini-Mental State Examination.")
@click.option("--timeout", "wait_seconds", type=float, help="With --wait: seconds to wait for one result.")
@click.pass_obj
def submit(session: Session, /, volumes: tuple[str, ...], **options: Unpack[Options]) -> None:
    """Send NIfTI or MGH files, zips, folders of DICOM slices, or - for standard input."""
    if options["idempotency_key"] and len(volumes) > 1:
        raise click.UsageError("--key-of-request names one job; send one volume with it")
    if len(volumes) > 1 and any(options[name] is not None for name in ("age", "sex", "education", "mmse")):
        raise click.UsageError("age, sex, education and MMSE are one person's; send one volume with them")
    worst = Exit.OK
    with session.client() as client:
        for volume in volumes:
            try:
                _one(client, volume, options)
            except ClientError as error:
                if len(volumes) == 1:
                    raise
                click.echo(f"hippocamp: {volume}: {error}", err=True)
                worst = Exit.SOME_FAILED
    sys.exit(worst)


def _one(client: Client, volume: str, options: Options) -> None:
    source = open_source(sys.stdin.buffer if volume == "-" else volume)
    try:
        handle = client.submit(
            source,
            idempotency_key=options["idempotency_key"],
            priority=options["priority"],
            deadline_seconds=options["deadline"],
            not_before_seconds=options["not_before"],
            model=options["model"],
            age=options["age"],
            sex=options["sex"],
            education=options["education"],
            mmse=options["mmse"],
        )
    finally:
        source.close()
    if not options["wait"]:
        put_json(handle.job.raw) if options["as_json"] else click.echo(handle.id)
        return
    with console().status(describe_job(handle.job)):
        result = handle.result(timeout=options["wait_seconds"])
    put_json(result.raw) if options["as_json"] else click.echo(describe_result(result))
