"""One page that holds answer, doubt, provenance and limits, for short and for long reports."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pypdfium2
import pytest

from contracts.regions import REGIONS
from gateway.reports import pdf
from gateway.reports.report import Report


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


def test_nothing_leaves_the_page_or_overlaps_its_end(dicom: Report) -> None:
    many = {f"measure_number_{n}": 1000.123456 * n for n in range(24)}
    doubt = {
        "quality": many,
        "uncertain": True,
        "out_of_distribution": 9.0,
        "regions": dict.fromkeys(REGIONS, 1.25),
    }
    report = replace(dicom, result=dicom.result.model_copy(update=doubt))
    document = pypdfium2.PdfDocument(pdf.render(report))
    picture = np.asarray(document[0].render(scale=1).to_pil().convert("L"))
    document.close()
    assert picture.shape == (842, 596)
    assert (picture[-24:] > 250).all()
    assert (picture[:, :40] > 250).all()
    assert (picture[:, -40:] > 250).all()


def test_it_is_the_same_again(plain: Report) -> None:
    assert pdf.render(plain) == pdf.render(plain)
