"""`workers` and `drain`: who works where on what, and how a stage or host leaves service."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from client.context import put_json
from jobstore import clock
from operators.audited import noted
from operators.redis_access import ago, on_redis

if TYPE_CHECKING:
    import redis

    from contracts.job import Claim
    from jobstore.heartbeats import Pool


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document a pool and a held record.")
@on_redis
def workers(client: redis.Redis, *, as_json: bool) -> None:
    """Every worker pool, busy or idle, and the records that are being worked on."""
    from contracts.states import Stage
    from jobstore import draining, heartbeats
    from jobstore.store import JobStore

    job_store, now = JobStore(client), clock.now_ms(client)
    pools, drained = heartbeats.pools(client), draining.drained(client)
    claims = [claim for stage in Stage for claim in draining.held(job_store, stage)]
    rows = [_pool(pool, now, drained, claims) for pool in pools]
    held = [_claim(claim, now) for claim in claims]
    if as_json:
        for row in rows:
            put_json({"pool": row})
        for row in held:
            put_json({"record": row})
        return
    Console().print(_table(rows, "no worker pool has told that it is there"))
    Console().print(_table(held, "nothing is being worked on"))


def _pool(pool: Pool, now: int, drained: dict[str, int], claims: list[Claim]) -> dict[str, object]:
    host, _, rest = pool.name.partition("/")
    place = pool.name.rpartition("/")[0]
    busy = sum(c.record.get("worker", "").startswith(f"{place}/") and c.stage in pool.queues for c in claims)
    off = f"host:{host}" in drained or any(f"stage:{queue}" in drained for queue in pool.queues)
    state = "SILENT" if pool.is_silent(now) else "drained" if off else "works" if busy else "idle"
    return {
        "host": host, "pool": rest.rpartition("/")[2], "stages": " ".join(pool.queues), "state": state,
        "busy": busy, "slots": pool.slots, "up": ago(pool.since_ms, now), "told": ago(pool.seen_ms, now),
    }  # fmt: skip


def _claim(claim: Claim, now: int) -> dict[str, object]:
    record = claim.record
    return {
        "record": claim.id, "site": record["site"], "stage": str(claim.stage), "step": record.get("step", ""),
        "for": ago(float(record.get("claimed_ms", now)), now), "attempt": claim.attempt,
        "worker": record.get("worker", ""),
    }  # fmt: skip


def _table(rows: list[dict[str, object]], otherwise: str) -> Table | str:
    if not rows:
        return otherwise
    table = Table(*rows[0], box=None)
    for row in rows:
        style = {"SILENT": "bold red", "drained": "yellow"}.get(str(row.get("state")), "")
        table.add_row(*map(str, row.values()), style=style)
    return table


@click.command()
@click.argument("scopes", nargs=-1, metavar="[STAGE|host:NAME]...")
@click.option("--undo", is_flag=True, help="Let them work again.")
@click.option(
    "--grace", default=60.0, show_default=True, type=click.FloatRange(min=0),
    help="Seconds to finish what is held; then it is handed back. 0: at once.",
)  # fmt: skip
@on_redis
def drain(client: redis.Redis, *, scopes: tuple[str, ...], undo: bool, grace: float) -> None:
    """Take stages or hosts out of service: their workers claim nothing more, until --undo.

    Without a name, say what is out of service. A record that is handed back costs no attempt; other hosts
    take it at once, and what a drained worker still makes of it is thrown away.
    """
    named = [_scope(text) for text in scopes]
    if not named:
        _say_drained(client)
    for scope in named:
        with noted(client, "resume" if undo else "drain", about=scope):
            _set(client, scope, undo=undo)
    if named and not undo:
        _empty(client, named, grace)


def _set(client: redis.Redis, scope: str, *, undo: bool) -> None:
    from jobstore import draining

    if undo:
        there = draining.resume(client, scope)
        click.echo(f"{scope} works again" if there else f"{scope} was not drained")
    else:
        draining.drain(client, scope, now_ms=clock.now_ms(client))
        click.echo(f"{scope} claims nothing more")


def _say_drained(client: redis.Redis) -> None:
    from jobstore import draining

    found, now = draining.drained(client), clock.now_ms(client)
    for scope, since in sorted(found.items()):
        click.echo(f"{scope} has been drained for {ago(since, now)}")
    if not found:
        click.echo("nothing is drained")


def _empty(client: redis.Redis, scopes: list[str], grace: float) -> None:
    """Wait until nothing is held, then take back what is."""
    from jobstore import draining
    from jobstore.store import JobStore

    job_store, ends, told = JobStore(client), time.monotonic() + grace, -1
    while True:
        claims = {claim.id: claim for scope in scopes for claim in draining.held_by(job_store, scope)}
        if len(claims) != told and claims:
            click.echo(f"{len(claims)} records are being finished")
        told = len(claims)
        if not claims or time.monotonic() >= ends:
            break
        time.sleep(0.25)
    handed = draining.hand_back(job_store, list(claims.values()))
    click.echo(f"{handed} records handed back" if handed else "nothing is held any more")


def _scope(text: str) -> str:
    from contracts.states import Stage

    if text.startswith("host:") and len(text) > 5:
        return text
    name = text.removeprefix("stage:")
    if name not in set(Stage):
        raise click.UsageError(f"{text!r} is neither a stage ({', '.join(Stage)}) nor host:NAME")
    return f"stage:{name}"
