"""`hippocamp top`: the system live, from the figures its exporter publishes."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import click
import httpx
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from client.errors import Unavailable
from client.exposition import Figures, parse

DEFAULT_EXPORTER = "http://127.0.0.1:8090/metrics"
STAGES = ("preprocess", "infer", "deliver")
_PROOF_SECONDS = 120


@dataclass(frozen=True)
class Sample:
    """Figures and when they were read (monotonic seconds)."""

    at: float
    figures: Figures


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
    """Watch depth, age, throughput, sites and parts of a system (operators; HIPPOCAMP_EXPORTER_URL)."""
    before = Sample(time.monotonic(), read_exporter(exporter))
    if once:
        time.sleep(min(every, 1.0))
        Console().print(picture(before, Sample(time.monotonic(), read_exporter(exporter))))
        return
    with Live(picture(before, before), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(every)
            now = Sample(time.monotonic(), read_exporter(exporter))
            live.update(picture(before, now), refresh=True)
            before = now


def picture(before: Sample, now: Sample) -> Group:
    """The screen: stages, sites, how jobs ended, parts."""
    return Group(_headline(now.figures), _stages(before, now), _sites(now.figures), _ends(before, now))


def _headline(now: Figures) -> Text:
    text = Text("Hippocamp  ")
    for labels, age in sorted(now.of("hippocamp_proof_age_seconds"), key=lambda row: row[0].get("part", "")):
        good = age <= _PROOF_SECONDS
        shown = f"{age:.0f} s ago" if age != float("inf") else "never"
        text.append(f"{labels.get('part')}: {shown}  ", style="green" if good else "bold red")
    memory = now.total("hippocamp_redis_used_bytes") / 1e6
    log_ok = now.total("hippocamp_redis_aof_ok") == 1
    text.append(
        f"Redis {memory:.0f} MB, log {'ok' if log_ok else 'BROKEN'}", style="" if log_ok else "bold red"
    )
    return text


def _stages(before: Sample, now: Sample) -> Table:
    table = Table("stage", box=None, title="Stages", title_justify="left")
    for name in ("waiting", "later", "running", "oldest s", "started/s", "seconds each", "leases lost"):
        table.add_column(name, justify="right")
    figures = now.figures
    for stage in STAGES:
        ages = [age for _, age in figures.of("hippocamp_oldest_seconds", stage=stage)]
        table.add_row(
            stage,
            f"{figures.total('hippocamp_waiting', stage=stage):.0f}",
            f"{figures.total('hippocamp_delayed', stage=stage):.0f}",
            f"{figures.total('hippocamp_running', stage=stage):.0f}",
            f"{max(ages, default=0):.0f}",
            f"{rate(before, now, 'hippocamp_claims_total', stage=stage):.2f}",
            f"{figures.total('hippocamp_pace_seconds', stage=stage):.2f}",
            f"{figures.total('hippocamp_lease_expiries_total', stage=stage):.0f}",
        )
    return table


def _sites(now: Figures) -> Table:
    table = Table("site", box=None, title="Sites", title_justify="left")
    for name in ("waiting", "oldest s", "succeeded", "failed", "canceled", "expired"):
        table.add_column(name, justify="right")
    for site in now.values("hippocamp_jobs", "site"):
        ages = [age for _, age in now.of("hippocamp_oldest_seconds", site=site)]
        ends = (now.total("hippocamp_jobs", site=site, state=state) for state in _ENDS)
        waiting = now.total("hippocamp_waiting", site=site)
        table.add_row(site, f"{waiting:.0f}", f"{max(ages, default=0):.0f}", *(f"{n:.0f}" for n in ends))
    return table


_ENDS = ("succeeded", "failed", "canceled", "expired")


def _ends(before: Sample, now: Sample) -> Table:
    table = Table(box=None, title="Jobs", title_justify="left")
    for name in (
        "taken/s",
        *(f"{state}/s" for state in _ENDS),
        "cache hits",
        "poison",
        "late commits refused",
    ):
        table.add_column(name, justify="right")
    figures = now.figures
    table.add_row(
        f"{rate(before, now, 'hippocamp_jobs_submitted_total'):.2f}",
        *(f"{rate(before, now, 'hippocamp_transitions_total', state=state):.2f}" for state in _ENDS),
        f"{figures.total('hippocamp_cache_hits_total'):.0f}",
        f"{figures.total('hippocamp_poison_total'):.0f}",
        f"{figures.total('hippocamp_fence_rejections_total'):.0f}",
    )
    return table


def rate(before: Sample, now: Sample, name: str, **labels: str) -> float:
    """Growth of a counter, 1/s; 0 when it started anew."""
    seconds = now.at - before.at
    grown = now.figures.total(name, **labels) - before.figures.total(name, **labels)
    return max(0.0, grown / seconds) if seconds > 0 else 0.0
