"""`hippocamp-admin retry` and `quarantine`: opening jobs again that ended without a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click
from rich.console import Console
from rich.table import Table

from client.context import put_json
from jobstore import clock, keys
from operators.audited import noted
from operators.redis_access import Missing, ago, on_redis

if TYPE_CHECKING:
    import redis


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="JOB_ID|DELIVERY_ID...")
@on_redis
def retry(client: redis.Redis, *, ids: tuple[str, ...]) -> None:
    """Put failed or expired jobs back in the queue under their own ids, or send webhook deliveries again.

    A job goes on from its slices where they are kept, else from its upload, which only a poisoned job still
    has (`hippocamp-admin quarantine list`). Its site's webhooks are told again how it ends.
    """
    for record_id in ids:
        with noted(client, "retry", site=_site_of(client, record_id), job=record_id):
            click.echo(f"{record_id}  {_again(client, record_id)}")


def _site_of(client: redis.Redis, record_id: str) -> str:
    return cast("str | None", client.hget(keys.record(record_id), "site")) or ""


def _again(client: redis.Redis, record_id: str) -> str:
    from jobstore.store import JobStore

    job_store = JobStore(client)
    if record_id.startswith("whd_"):
        if not job_store.replay(record_id):
            raise Missing(f"{record_id} is no delivery that has ended")
        return "will be sent again"
    return f"waits for {job_store.reopen(record_id)}"


@click.group()
def quarantine() -> None:
    """Poisoned jobs: their uploads are kept for a while, so that they can be opened again after a repair."""


@quarantine.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document a job.")
@on_redis
def list_quarantine(client: redis.Redis, *, as_json: bool) -> None:
    """The jobs in quarantine, the one that leaves it first at the top."""
    now = clock.now_ms(client)
    rows = [_row(client, job_id, until, now) for job_id, until in _entries(client)]
    if as_json:
        for row in rows:
            put_json(row)
    elif not rows:
        click.echo("the quarantine is empty")
    else:
        table = Table(*rows[0], box=None)
        for row in rows:
            table.add_row(*map(str, row.values()))
        Console().print(table)


@quarantine.command()
@click.argument("job_ids", nargs=-1, metavar="JOB_ID...")
@click.option("--all", "every", is_flag=True, help="All of them.")
@click.option("--site", help="With --all: only those of this site.")
@on_redis
def release(client: redis.Redis, *, job_ids: tuple[str, ...], every: bool, site: str | None) -> None:
    """Put jobs back in the queue, with all their attempts."""
    for job_id in _chosen(client, job_ids, every=every, site=site):
        with noted(client, "quarantine.release", site=_site_of(client, job_id), job=job_id):
            click.echo(f"{job_id}  {_again(client, job_id)}")


@quarantine.command()
@click.argument("job_ids", nargs=-1, metavar="JOB_ID...")
@click.option("--all", "every", is_flag=True, help="All of them.")
@click.option("--site", help="With --all: only those of this site.")
@on_redis
def drop(client: redis.Redis, *, job_ids: tuple[str, ...], every: bool, site: str | None) -> None:
    """Give their uploads up now; the reconciler deletes them within seconds."""
    for job_id in _chosen(client, job_ids, every=every, site=site):
        with noted(client, "quarantine.drop", site=_site_of(client, job_id), job=job_id):
            client.zadd(keys.QUARANTINE, {job_id: 0}, xx=True)
            click.echo(f"{job_id}  its upload is being deleted")


def _chosen(client: redis.Redis, job_ids: tuple[str, ...], *, every: bool, site: str | None) -> list[str]:
    if every == bool(job_ids):
        raise click.UsageError("Name jobs, or say --all")
    if site and not every:
        raise click.UsageError("--site goes with --all")
    there = [job_id for job_id, _ in _entries(client)]
    missing = sorted(set(job_ids) - set(there))
    if missing:
        raise Missing(f"{', '.join(missing)}: not in quarantine")
    owned = [job_id for job_id in there if not site or client.hget(keys.record(job_id), "site") == site]
    return owned if every else list(job_ids)


def _entries(client: redis.Redis) -> list[tuple[str, float]]:
    return cast("list[tuple[str, float]]", client.zrange(keys.QUARANTINE, 0, -1, withscores=True))


def _row(client: redis.Redis, job_id: str, until: float, now: int) -> dict[str, object]:
    record = cast("dict[str, str]", client.hgetall(keys.record(job_id)))
    return {
        "job": job_id,
        "site": record.get("site", ""),
        "stage": record.get("stage", ""),
        "failed": ago(float(record.get("finished_ms", now)), now) + " ago",
        "kept for": ago(now, int(until)),
        "MB": round(int(record.get("stored_bytes", 0)) / 1e6, 1),
        "why": record.get("error_detail", ""),
    }
