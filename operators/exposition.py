"""Reading figures from Prometheus's text format (0.0.4), as much of it as our own services write."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field

_LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Figures:
    """Samples by metric name and labels."""

    samples: dict[str, dict[Labels, float]] = field(default_factory=dict)

    def total(self, name: str, **wanted: str) -> float:
        """Sum of the samples that carry these labels; 0 when there are none."""
        return sum(value for _, value in self.of(name, **wanted))

    def of(self, name: str, **wanted: str) -> list[tuple[dict[str, str], float]]:
        """(labels, value) of the samples that carry these labels."""
        rows = [(dict(labels), value) for labels, value in self.samples.get(name, {}).items()]
        return [(labels, value) for labels, value in rows if wanted.items() <= labels.items()]

    def values(self, name: str, label: str) -> list[str]:
        """The values a label takes, sorted."""
        return sorted({labels[label] for labels, _ in self.of(name) if label in labels})


def parse(text: str) -> Figures:
    """The samples of a page of metrics; lines that are none are skipped."""
    found: dict[str, dict[Labels, float]] = defaultdict(dict)
    for line in text.splitlines():
        match = None if line.startswith("#") else _LINE.match(line)
        if match is None:
            continue
        name, labels, value = match.groups()
        try:
            found[name][tuple(_LABEL.findall(labels or ""))] = float(value)
        except ValueError:
            continue
    return Figures(dict(found))
