"""DICOM Secondary Capture: the 32 slices under the map of the decided class, to be seen on any viewer."""

from __future__ import annotations

import io

import highdicom
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset

from contracts.result import NOTICE
from gateway.images import pictures
from gateway.images.geometry import left_edge
from gateway.reports.references import SERIES, source_images, stamp, study_uid, uid
from gateway.reports.report import SOFTWARE, Report, software_version

MEDIA_TYPE = "application/dicom"
_BAND = 56


def render(report: Report) -> bytes:
    """A Secondary Capture instance, PS3.10 file format, explicit little endian, RGB."""
    out = io.BytesIO()
    build(report).save_as(out)
    return out.getvalue()


def build(report: Report) -> highdicom.sc.SCImage:
    """The instance as a dataset; it belongs to the input's study and refers to the input's images."""
    image = highdicom.sc.SCImage(
        pixel_array=_pixels(report),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=study_uid(report),
        series_instance_uid=uid(report, "capture series"),
        series_number=SERIES["capture"],
        sop_instance_uid=uid(report, "capture"),
        instance_number=1,
        manufacturer=SOFTWARE,
        patient_orientation=_orientation(report),
    )
    image.SeriesDescription = "Hippocamp overlay (research use only)"
    image.ManufacturerModelName = SOFTWARE
    image.SoftwareVersions = software_version()
    image.BodyPartExamined = "BRAIN"
    image.BurnedInAnnotation = "NO"
    image.ImageType = ["DERIVED", "SECONDARY"]
    image.DerivationDescription = f"Class activation map over 32 resampled slices. {NOTICE}"
    stamp(image, report.finished)
    references = [_reference(one) for one in source_images(report)]
    if references:
        image.SourceImageSequence = references
    return image


def _orientation(report: Report) -> tuple[str, str]:
    """Where the picture's rows run to, and its columns (PS3.3, C.7.6.1.1.1)."""
    right = "L" if left_edge(report.stack) == "R" else "R"
    return right, "P"


def _reference(image: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    return item


def _pixels(report: Report) -> npt.NDArray[np.uint8]:
    """The montage under two lines of text that say what it is and what it is not."""
    montage = pictures.montage(report.stack, report.explanation, report.decided, 0.5)
    height, width = montage.shape[:2]
    canvas = Image.new("RGB", (width, height + _BAND))
    canvas.paste(Image.fromarray(montage), (0, _BAND))
    result, draw = report.result, ImageDraw.Draw(canvas)
    stage = report.stages[report.decided]
    answer = (
        f"CDR {result.cdr}: {result.label}   {stage.probability:.0%} ({stage.low:.0%} to {stage.high:.0%})"
    )
    doubt = "   UNCERTAIN: no stage can be ruled out" if result.uncertain else ""
    if any(one.code == "orientation.assumed" for one in report.notices):
        doubt += "   LEFT AND RIGHT ARE ASSUMED"
    edge = left_edge(report.stack)
    draw.text((12, 4), answer + doubt, fill="white", font=ImageFont.load_default(20))
    side = f"Nose up; left edge of each slice: patient's {_SIDE[edge]}."
    legend = f"{NOTICE} Colour: evidence for CDR {result.cdr}. {side}"
    draw.text((12, 31), legend, fill="#ffb454", font=ImageFont.load_default(16))
    return np.asarray(canvas)


_SIDE = {"L": "left", "R": "right"}
