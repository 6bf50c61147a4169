"""The load generator's arithmetic, and who counts as first."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.peers.__main__ import Figures, first_everywhere
from bench.peers.load import Level, Outcome, arrivals
from bench.volumes import copies, header, tiny
from imaging.sniff import Media, sniff


def figures(*, rate: float, p99: float, answered: int = 10, errors: int = 0) -> Figures:
    level = {"sent": 10, "answered": answered, "p99": p99, "errors": errors, "per_minute": rate}
    return {label: dict(level) for label in ("burst", "50 %", "80 %", "95 %", "150 %")}


def test_everybody_meets_the_same_arrivals() -> None:
    assert arrivals(2.0, 30, 7) == arrivals(2.0, 30, 7)
    assert len(arrivals(2.0, 3000, 7)) == pytest.approx(6000, rel=0.05)


def test_percentiles_count_only_answers() -> None:
    level = Level("x", 10, [Outcome(seconds=n) for n in range(100)] + [Outcome(error="lost")])
    assert (level.percentile(0.5), level.percentile(0.99), level.errors) == (50, 99, 1)


def test_first_only_when_nobody_is_faster() -> None:
    ours = figures(rate=100, p99=1.0)
    assert first_everywhere({"hippocamp": ours, "ray": figures(rate=90, p99=2.0)}) == []
    assert "throughput" in first_everywhere({"hippocamp": ours, "ray": figures(rate=110, p99=2.0)})
    behind = first_everywhere({"hippocamp": ours, "ray": figures(rate=90, p99=0.5)})
    assert behind == ["p99 at 50 %: ray", "p99 at 80 %: ray", "p99 at 95 %: ray"]


def test_a_level_that_somebody_cannot_hold_is_not_compared() -> None:
    quick_but_lossy = figures(rate=90, p99=0.5, answered=9)
    assert first_everywhere({"hippocamp": figures(rate=100, p99=1.0), "ray": quick_but_lossy}) == []


def test_a_peer_that_does_not_work_is_no_comparison() -> None:
    broken = figures(rate=0, p99=float("nan"), answered=0)
    assert first_everywhere({"hippocamp": figures(rate=100, p99=1.0), "ray": broken}) == [
        "ray answered nothing"
    ]


def test_what_is_sent_is_a_volume_of_its_own(tmp_path: Path) -> None:
    assert sniff(tiny(3)).media is Media.NIFTI
    assert sniff(header((512, 512, 400), doubles=True)).promised_bytes == 352 + 512 * 512 * 400 * 8
    (tmp_path / "a.nii.gz").write_bytes(b"\x1f\x8b\x08\x00" + b"\x00" * 60)
    first, second = copies(tmp_path / "a.nii.gz", tmp_path, 2)
    assert first.read_bytes() != second.read_bytes()
