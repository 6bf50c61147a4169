"""The picture of `hippocamp-admin top`: a pure function of the figures seen over the last half minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from operators.exposition import Figures

STAGES = ("preprocess", "infer", "deliver")
ENDS = ("succeeded", "failed", "canceled", "expired")
_PROOF_SECONDS = 120
_WINDOW_SECONDS = 30.0
_TREND = 16
_BARS = " ▁▂▃▄▅▆▇█"
_MOST_SITES = 12


@dataclass(frozen=True)
class Sample:
    """Figures and when they were read (monotonic seconds)."""

    at: float
    figures: Figures


@dataclass
class Seen:
    """What was read so far: rates are taken over half a minute, trends over the last two dozen looks."""

    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=600))

    def add(self, sample: Sample) -> None:
        """One more look."""
        self.samples.append(sample)

    @property
    def now(self) -> Figures:
        """The last look."""
        return self.samples[-1].figures

    def rate(self, name: str, **labels: str) -> float:
        """Growth of a counter, 1/s; 0 when it started anew or was seen only once."""
        last = self.samples[-1]
        first = next(sample for sample in self.samples if last.at - sample.at <= _WINDOW_SECONDS)
        seconds = last.at - first.at
        grown = last.figures.total(name, **labels) - first.figures.total(name, **labels)
        return max(0.0, grown / seconds) if seconds > 0 else 0.0

    def trend(self, name: str, **labels: str) -> str:
        """A gauge's last values as a row of bars."""
        values = [sample.figures.total(name, **labels) for sample in list(self.samples)[-_TREND:]]
        top = max(values, default=0.0)
        return "".join(_BARS[round(value / top * 8)] if top else " " for value in values)


def picture(seen: Seen) -> Group:
    """The screen: parts, stages, sites, how jobs end."""
    parts: list[RenderableType] = [_headline(seen.now), _warnings(seen.now), _stages(seen)]
    return Group(*parts, Text(), _sites(seen), Text(), _ends(seen))


def _headline(now: Figures) -> Text:
    text = Text("Hippocamp  ", style="bold")
    for labels, age in sorted(
        now.of("hippocamp_heartbeat_age_seconds"), key=lambda row: row[0].get("part", "")
    ):
        part, good = labels.get("part", ""), age <= _PROOF_SECONDS
        # A gateway proves itself to whoever asks /readyz, a stage by its work: to have none is no fault.
        excused = part == "gateway" or _rests(now, part)
        shown = f"{age:.0f} s ago" if age != float("inf") else "idle" if excused else "never"
        text.append(
            f"{part} {shown}  ", style="not bold green" if good else "not bold dim" if excused else "bold red"
        )
    memory = now.total("hippocamp_redis_used_bytes") / 1e6
    log_ok = now.total("hippocamp_redis_aof_ok") == 1 and now.total("hippocamp_redis_aof_enabled") == 1
    log = "log ok" if log_ok else "NO LOG"
    text.append(f"Redis {memory:.0f} MB, {log}", style="not bold" if log_ok else "bold red")
    return text


def _rests(now: Figures, part: str) -> bool:
    """Its workers are there, and nothing waits for them."""
    slots = now.total("hippocamp_slots", stage=part)
    return part in STAGES and slots > 0 and not now.total("hippocamp_waiting", stage=part)


def _warnings(now: Figures) -> Text:
    """One line for what an operator did or should look at; empty when there is nothing."""
    off = [labels["stage"] for labels, value in now.of("hippocamp_drained") if value]
    hosts = now.total("hippocamp_drained_hosts")
    kept = now.total("hippocamp_quarantined")
    found = [f"DRAINED: {', '.join(off)}"] if off else []
    found += [f"{hosts:.0f} hosts drained"] if hosts else []
    found += [f"{kept:.0f} jobs in quarantine"] if kept else []
    return Text("   ".join(found), style="bold yellow")


_STAGE_COLUMNS = (
    "waiting", "trend", "later", "oldest", "running", "slots", "started/s", "each", "batch", "again", "lost",
)  # fmt: skip


def _stages(seen: Seen) -> Table:
    table = _table("stage", _STAGE_COLUMNS)
    for stage in STAGES:
        table.add_row(stage, *_stage(seen, stage))
    return table


def _stage(seen: Seen, stage: str) -> Iterable[str | Text]:
    now = seen.now
    waiting, slots = now.total("hippocamp_waiting", stage=stage), now.total("hippocamp_slots", stage=stage)
    started = seen.rate("hippocamp_claims_total", stage=stage)
    batches = seen.rate("hippocamp_claim_batches_total", stage=stage)
    return (
        f"{waiting:.0f}",
        seen.trend("hippocamp_waiting", stage=stage),
        f"{now.total('hippocamp_delayed', stage=stage):.0f}",
        f"{_oldest(now, stage=stage):.0f} s",
        f"{now.total('hippocamp_running', stage=stage):.0f}",
        Text(f"{slots:.0f}", style="" if slots else "bold red"),
        f"{started:.2f}",
        f"{now.total('hippocamp_pace_seconds', stage=stage):.2f} s",
        f"{started / batches:.1f}" if batches else "-",
        f"{now.total('hippocamp_redeliveries_total', stage=stage):.0f}",
        f"{now.total('hippocamp_lease_expiries_total', stage=stage):.0f}",
    )


def _sites(seen: Seen) -> Table:
    """The sites with most waiting first; the columns by stage are records a second that came through it."""
    table = _table("site", ("waiting", "oldest", *(f"{stage}/s" for stage in STAGES), *ENDS))
    now = seen.now
    names = now.values("hippocamp_jobs", "site")
    names.sort(key=lambda name: (-now.total("hippocamp_waiting", site=name), name))
    for site in names[:_MOST_SITES]:
        table.add_row(
            site,
            f"{now.total('hippocamp_waiting', site=site):.0f}",
            f"{_oldest(now, site=site):.0f} s",
            *(f"{seen.rate('hippocamp_site_commits_total', site=site, stage=stage):.2f}" for stage in STAGES),
            *(f"{now.total('hippocamp_jobs', site=site, state=state):.0f}" for state in ENDS),
        )
    if len(names) > _MOST_SITES:
        table.add_row(f"and {len(names) - _MOST_SITES} more")
    return table


_JOB_COLUMNS = (
    "taken/s",
    *(f"{state}/s" for state in ENDS),
    "cache hits",
    "job.dead_lettered",
    "late commits refused",
)


def _ends(seen: Seen) -> Table:
    table, now = _table("jobs", _JOB_COLUMNS), seen.now
    table.add_row(
        "",
        f"{seen.rate('hippocamp_jobs_submitted_total'):.2f}",
        *(f"{seen.rate('hippocamp_transitions_total', state=state):.2f}" for state in ENDS),
        f"{now.total('hippocamp_cache_hits_total'):.0f}",
        f"{now.total('hippocamp_dead_lettered_total'):.0f}",
        f"{now.total('hippocamp_fence_rejections_total'):.0f}",
    )
    return table


def _oldest(now: Figures, **labels: str) -> float:
    return max((age for _, age in now.of("hippocamp_oldest_seconds", **labels)), default=0.0)


def _table(first: str, columns: Iterable[str]) -> Table:
    table = Table(first, box=None, header_style="bold cyan", padding=(0, 1, 0, 0))
    table.columns[0].no_wrap = True
    table.columns[0].min_width = 10
    for name in columns:
        table.add_column(name, justify="left" if name == "trend" else "right", no_wrap=True)
    return table
