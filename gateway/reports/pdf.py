"""The report as one A4 page: answer, uncertainty, pictures, quality, provenance, limits."""

from __future__ import annotations

from contracts.result import NOTICE
from contracts.stack import SLICES
from gateway.images import pictures
from gateway.images.geometry import left_edge
from gateway.reports.notices import Severity, named
from gateway.reports.page import GREY, INK, RED, Page
from gateway.reports.report import SOFTWARE, Report, software_version

MEDIA_TYPE = "application/pdf"
_SHOWN = (4, 9, 14, 19, 24, 29)
"""Slices on the page, 1 is the lowest; every fifth of the slab."""
_LINE_MM, _PICTURES_MM = 4.6, 78.0
"""Height of a line, and of the pictures over the whole width: they make room for notices."""
_LIMITS = (
    "The model was trained on 166 subjects of one study (OASIS-1, T1-weighted, 1.5 T); its accuracy is"
    " modest and age is a confound. It looks at one axial slab of 32 slices and sees nothing elsewhere. The"
    " colours show where in each slice the network found evidence, not where disease is. The model card gives"
    " measured accuracy and intended use."
)


def render(report: Report) -> bytes:
    """PDF 1.x, one page; the same report always has the same words."""
    page = Page(f"{SOFTWARE} report {report.job_id}")
    page.pdf.set_creation_date(report.finished)
    page.text(f"{SOFTWARE}: Alzheimer's stage from a T1-weighted brain MRI", size=15, style="B")
    page.y += 1
    page.text(f"Job {report.job_id}   finished {report.finished:%Y-%m-%d %H:%M} UTC", size=8.5, colour=GREY)
    page.y += 1.5
    page.banner(NOTICE)
    _notices(page, report)
    _answer(page, report)
    _pictures(page, report)
    _regions(page, report)
    _figures(page, report)
    page.heading("Limits")
    page.text(_LIMITS, size=8.5)
    return bytes(page.pdf.output())


def _notices(page: Page, report: Report) -> None:
    for one in report.notices:
        warns = one.severity is Severity.WARNING
        page.text(f"{'Warning: ' if warns else 'Note: '}{one.text}", size=8.5, colour=RED if warns else INK)


def _answer(page: Page, report: Report) -> None:
    result = report.result
    page.heading("Answer")
    page.text(f"CDR {result.cdr}: {result.label}", size=17, style="B")
    page.y += 1
    if result.uncertain:
        page.text(
            "UNCERTAIN: at 90 % confidence no stage can be ruled out.", size=10.5, style="B", colour=RED
        )
    else:
        stages = ", ".join(f"CDR {cdr}" for cdr in result.prediction_set)
        page.text(f"At 90 % confidence these stages cannot be ruled out: {stages}.", size=10.5)
    page.y += 2
    for stage in report.stages:
        page.bar(f"CDR {stage.cdr}  {stage.label}", stage.probability, stage.low, stage.high)
    page.text("Bars: calibrated probability. Whiskers: its 90 % interval.", size=8, colour=GREY)
    if clinical := result.clinical:
        shares = ", ".join(f"CDR {one.cdr} {one.probability:.1%}" for one in report.clinical)
        told = ", ".join("MMSE" if name == "mmse" else name for name in clinical.used)
        page.text(f"With {told}: CDR {clinical.cdr}, {clinical.label} ({shares}).", size=10.5)


def _pictures(page: Page, report: Report) -> None:
    page.heading(f"Where the network found evidence for CDR {report.result.cdr}")
    shown = _SHOWN
    above = [report.stack.slices[n - 1] for n in shown]
    heats = [pictures.heat(report.explanation, n - 1, report.decided) for n in shown]
    below = [pictures.paint(grey, share, 0.55) for grey, share in zip(above, heats, strict=True)]
    hung = [[pictures.upright(picture) for picture in row] for row in (above, below)]
    lines = len(report.notices) + (2 if report.result.series else 0)
    share = max(0.4, 1 - _LINE_MM * lines / _PICTURES_MM)
    page.pictures(
        hung, alt="Six slices of the brain, plain above, with the activation map below", share=share
    )
    edge, slices = left_edge(report.stack), ", ".join(map(str, shown))
    side = "left" if edge == "L" else "right"
    page.text(
        f"Slices {slices} of {SLICES}, lowest first. Nose up; left edge of each: the patient's {side}.",
        size=8,
        colour=GREY,
    )


def _regions(page: Page, report: Report) -> None:
    found = sorted(report.result.regions.items(), key=lambda item: -item[1])
    if not found:
        return
    page.heading("Activation by region")
    page.table([(name, f"{value:.2f}") for name, value in found], columns=3)
    words = (
        "Mean of the map in the region over its mean in the brain: 1 is average. A map cell is 30 mm wide."
    )
    page.text(words, size=8, colour=GREY)


def _figures(page: Page, report: Report) -> None:
    result = report.result
    page.heading("Quality of the image")
    quality = [(name.replace("_", " "), f"{value:.4g}") for name, value in sorted(result.quality.items())]
    distance = ("distance (>1: odd)", f"{result.out_of_distribution:.2f}")
    page.table([*quality, distance][:24], columns=4)
    page.heading("Provenance")
    source = report.stack.source
    rows = [
        ("Input, SHA-256", report.content_digest),
        ("Model, SHA-256", result.model_digest),
        ("Preprocessing, SHA-256", result.pipeline_digest),
        ("Software, arithmetic", f"{SOFTWARE} {software_version()}, {result.model_engine or 'unknown'}"),
        ("Submitted", f"{report.created:%Y-%m-%d %H:%M:%S} UTC"),
    ]
    if source:
        rows.append(("DICOM series", source.series))
    if result.series:
        rows.append(("Series that was read", named(result.series)))
        rows += [("Passed over", _passed_over(report))] if report.passed_over else []
    for name, value in rows:
        page.row(name, value)


def _passed_over(report: Report) -> str:
    """In one line; the JSON names all with the reason."""
    text = "; ".join(line.partition(":")[0] for line in report.passed_over)
    return text if len(text) <= 90 else f"{text[:87]}..."
