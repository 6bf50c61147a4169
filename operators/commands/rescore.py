"""`hippocamp-admin rescore`: another model looks at heads that were prepared before."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from client.context import put_json
from operators.audited import noted
from operators.redis_access import Missing, on_redis

if TYPE_CHECKING:
    import redis


class Options(TypedDict):
    """What the command line may say."""

    model: str
    site: str
    batch: str
    since: datetime | None
    dry_run: bool
    as_json: bool


@click.command()
@click.option("--model", default="", help="Digest, or its beginning; default: the model in service.")
@click.option("--site", default="", help="Only this site's jobs.")
@click.option("--batch", default="", help="Only this batch's jobs.")
@click.option("--since", type=click.DateTime(), help="Only jobs sent at this time (UTC) or later.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document a job.")
@on_redis
def rescore(client: redis.Redis, /, **options: Unpack[Options]) -> None:
    """Score prepared heads with another model, without preparing them again.

    Each head becomes a new job at the infer stage, with priority bulk; the old job and its answer stay.
    Webhooks tell how the new ones end. Interrupted, run it again: nothing is put in line twice.
    """
    model = _model(client, options["model"])
    since = options["since"].replace(tzinfo=UTC) if options["since"] else None
    about = f"model {model}" + (f" batch {options['batch']}" if options["batch"] else "")
    about += f" since {since.isoformat()}" if since else ""
    with nullcontext() if options["dry_run"] else noted(client, "rescore", site=options["site"], about=about):
        counts = _run(client, model, options, since_ms=int(since.timestamp() * 1000) if since else 0)
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()) or "no jobs"
    would = "would be, for" if options["dry_run"] else "for"
    click.echo(f"{would} model {model[:12]}: {told}", err=options["as_json"])


def _run(client: redis.Redis, model: str, options: Options, *, since_ms: int) -> Counter[str]:
    from jobstore.rescoring import Rescoring, jobs_to_rescore

    counts: Counter[str] = Counter()
    jobs = jobs_to_rescore(client, site=options["site"], batch=options["batch"], since_ms=since_ms)
    for job, new, outcome in Rescoring(client, model).run(jobs, dry=options["dry_run"]):
        counts[outcome] += 1
        if options["as_json"]:
            put_json({"job": job.id, "site": job.site, "new_job": new, "outcome": outcome})
    return counts


def _model(client: redis.Redis, wanted: str) -> str:
    from jobstore import deployed

    model = deployed.named(client, wanted) if wanted else deployed.current(client)[1]
    if not model:
        raise Missing(f"No one model {wanted or 'in service'} is known; `hippocamp model list`")
    return model
