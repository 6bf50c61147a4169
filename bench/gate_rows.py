"""What the gate says about each scan, kept in a file so that a long run can be stopped and go on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.gate_scans import Scan, scans
from bench.preprocess_measures import examine
from contracts.errors import HippocampError
from preprocessing_service import pipeline_digest
from preprocessing_service.steps.quality import measure
from preprocessing_service.steps.rules import broken
from preprocessing_service.template import load_template


@dataclass(frozen=True)
class Row:
    """One scan: its truth, the gate's code ("ok" or a refusal's), and the figures, if a brain was found."""

    name: str
    subject: str
    contrast: str
    kind: str
    code: str
    figures: dict[str, float]
    digest: str = field(default_factory=pipeline_digest)

    @property
    def wanted(self) -> bool:
        """Whether it is a T1 head."""
        return self.contrast == "T1"

    @property
    def uncertain(self) -> bool:
        """Accepted with the remark that its contrast is uncertain."""
        return self.code == "ok" and self.figures["contrast_uncertain"] > 0

    @property
    def right(self) -> bool:
        """A T1 head accepted, anything else refused."""
        return (self.code == "ok") == self.wanted


def judged(scan: Scan) -> Row:
    """Prepare one scan and ask the gate."""
    truth = (scan.name, scan.subject, scan.contrast, scan.kind)
    try:
        figures = measure(examine(scan.make()), load_template())
    except HippocampError as error:
        return Row(*truth, error.code, {})
    rule = broken(figures)
    return Row(*truth, rule.refusal.code if rule else "ok", figures)


def rows(file: Path | None, *, quick: bool) -> Iterator[Row]:
    """One a scan; those of this pipeline that the file holds are not measured again."""
    lines = file.read_text().splitlines() if file and file.exists() else []
    seen = {
        row.name: row
        for row in (Row(**json.loads(line)) for line in lines)
        if row.digest == pipeline_digest()
    }
    for scan in scans(quick=quick):
        if scan.name not in seen:
            row = judged(scan)
            if file:
                with file.open("a") as out:
                    out.write(json.dumps(asdict(row)) + "\n")
            yield row
        else:
            yield seen[scan.name]
