"""`hippocamp-admin top`: the system live, from the figures its exporter publishes."""

from __future__ import annotations

import os
import time

import click
import httpx
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from client.errors import Unavailable
from operators.dashboard import Sample, Seen, picture
from operators.exposition import Figures, parse

DEFAULT_EXPORTER = "http://127.0.0.1:8090/metrics"


def read_exporter(url: str = "") -> Figures:
    """The exporter's figures; Unavailable when it does not answer."""
    url = url or os.environ.get("HIPPOCAMP_EXPORTER_URL", "") or DEFAULT_EXPORTER
    try:
        answer = httpx.get(url, timeout=10)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise Unavailable(
            f"the exporter at {url} gave no figures: {error}; name it with --exporter"
        ) from error
    return parse(answer.text)


@click.command()
@click.option("--exporter", default="", help=f"Address of its figures.  [default: {DEFAULT_EXPORTER}]")
@click.option("--every", default=2.0, show_default=True, help="Seconds between two looks.")
@click.option("--once", is_flag=True, help="Print one picture and end.")
def top(*, exporter: str, every: float, once: bool) -> None:
    """Watch depth, age, throughput by site and stage, workers, batches (HIPPOCAMP_EXPORTER_URL)."""
    seen = Seen()
    seen.add(_look(exporter))
    if once:
        time.sleep(min(every, 1.0))
        seen.add(_look(exporter))
        Console().print(picture(seen))
        return
    with Live(picture(seen), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(every)
            try:
                seen.add(_look(exporter))
            except Unavailable as error:
                live.update(Group(Text(f"{error}", style="bold red"), picture(seen)), refresh=True)
                continue
            live.update(picture(seen), refresh=True)


def _look(exporter: str) -> Sample:
    return Sample(time.monotonic(), read_exporter(exporter))
