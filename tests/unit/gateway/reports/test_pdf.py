"""One page that holds answer, doubt, provenance and limits, for short and for long reports."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pypdfium2
import pytest

from contracts.series_read import PassedOver, SeriesRead
from gateway.reports import pdf
from gateway.reports.report import Report
from workers.inference.regions import REGIONS


def words(data: bytes) -> str:
    document = pypdfium2.PdfDocument(data)
    try:
        assert len(document) == 1
        page = document[0]
        text = page.get_textpage()
        return str(text.get_text_range()).replace("\r\n", " ")
    finally:
        document.close()


@pytest.mark.parametrize("which", ["plain", "dicom", "unsure"])
def test_what_it_says(which: str, request: pytest.FixtureRequest) -> None:
    report: Report = request.getfixturevalue(which)
    text = words(pdf.render(report))
    for wanted in (
        "CDR >=1: mild or worse",
        "60.0%",
        "40.0% to 80.0%",
        "Not for diagnosis",
        "medial temporal lobe",
        report.job_id,
    ):
        assert wanted in text
    for wanted in (report.content_digest, report.result.model_digest, "confound", "brain ml"):
        assert wanted in text
    assert ("UNCERTAIN" in text) == (which == "unsure")
    assert ("1.2.3.4.5" in text) == (which == "dicom")


OTHER = PassedOver(
    number=9, description="t2 flair", images=40, code="other_contrast", reason="another contrast"
)
SERIES = SeriesRead(
    number=5, description="t1 mprage", images=176, voxel_mm=(1, 1, 6), candidates=2, agent=True,
    passed_over=(OTHER,) * 9,
)  # fmt: skip
"""One that comes with every notice there is about a series."""


def test_nothing_leaves_the_page_or_overlaps_its_end(dicom: Report) -> None:
    many = {f"measure_number_{n}": 1000.123456 * n for n in range(24)}
    doubt = {
        "quality": many,
        "uncertain": True,
        "out_of_distribution": 9.0,
        "regions": dict.fromkeys(REGIONS, 1.25),
        "series": SERIES,
    }
    noticed = {"orientation_assumed": 1.0, "voxel_edge_mm": 6.0, "escalated": 1.0}
    doubt["quality"] = dict(list(many.items())[:21]) | noticed
    report = replace(dicom, age=45, result=dicom.result.model_copy(update=doubt))
    assert len(report.notices) == 7
    document = pypdfium2.PdfDocument(pdf.render(report))
    picture = np.asarray(document[0].render(scale=1).to_pil().convert("L"))
    document.close()
    assert picture.shape == (842, 596)
    assert (picture[-24:] > 250).all()
    assert (picture[:, :40] > 250).all()
    assert (picture[:, -40:] > 250).all()


def test_it_is_the_same_again(plain: Report) -> None:
    assert pdf.render(plain) == pdf.render(plain)
