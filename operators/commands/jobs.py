"""`hippocamp-admin jobs`: the jobs of all sites, from Redis itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack

import click
from rich.console import Console
from rich.table import Table

from client.commands.jobs import STATES
from client.context import put_json
from jobstore import clock
from operators import all_jobs
from operators.redis_access import ago, on_redis

if TYPE_CHECKING:
    import redis


class Options(TypedDict):
    """What the command line may say."""

    state: str | None
    limit: int
    as_json: bool
    site: str | None


_SHOWN = (
    "id", "site", "state", "stage", "created_ms", "updated_ms", "attempt", "fence", "worker", "step",
    "error_code", "error_detail", "last_error", "trace_id",
)  # fmt: skip


@click.command()
@click.option("--state", type=STATES, help="Only those in this state.")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1), help="How many, newest first."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document a job.")
@click.option("--site", help="Only those of this one.")
@on_redis
def jobs(client: redis.Redis, /, **options: Unpack[Options]) -> None:
    """List the jobs of all sites, newest first, with the worker that holds each."""
    found = all_jobs.jobs(client, site=options["site"], state=options["state"], limit=options["limit"])
    now = clock.now_ms(client)
    table = Table("job", "site", "state", "stage", "age", "attempt", "worker", "error", box=None)
    for record in found:
        shown = {name: record.get(name, "") for name in _SHOWN}
        if options["as_json"]:
            put_json(shown)
        held = record["state"] in {"preprocessing", "inferring"}
        table.add_row(
            shown["id"],
            shown["site"],
            shown["state"],
            shown["stage"],
            ago(int(record["created_ms"]), now),
            shown["attempt"],
            shown["worker"] if held else "",
            shown["error_code"] or shown["last_error"],
        )
    if not options["as_json"]:
        Console().print(table)
