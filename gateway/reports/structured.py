"""DICOM Structured Report: TID 1500 Measurement Report in an Enhanced SR (PS3.16, A; PS3.3, A.35.2)."""

from __future__ import annotations

import io
from collections.abc import Iterator

import highdicom
from highdicom import sr
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from contracts.result import NOTICE
from gateway.reports import capture
from gateway.reports.notices import named
from gateway.reports.references import SERIES, source_images, stamp, uid
from gateway.reports.report import SOFTWARE, Report, Stage, software_version

MEDIA_TYPE = "application/dicom"
SCHEME = "99HIPPOCAMP"
"""Private coding scheme designator; docs/reference/result-formats.md lists its codes."""
_MR_BRAIN = Code("24590-2", "LN", "MR Brain")
_RATIO = codes.UCUM.NoUnits


def render(report: Report) -> bytes:
    """An SR instance, PS3.10 file format, explicit little endian."""
    out = io.BytesIO()
    build(report).save_as(out)
    return out.getvalue()


def build(report: Report) -> sr.EnhancedSR:
    """The instance as a dataset. Evidence: the input's images, where known, and our overlay picture."""
    picture = capture.build(report)
    document = sr.EnhancedSR(
        evidence=[*source_images(report), picture],
        content=_content(report, picture),
        series_instance_uid=uid(report, "structured series"),
        series_number=SERIES["structured"],
        sop_instance_uid=uid(report, "structured"),
        instance_number=1,
        manufacturer=SOFTWARE,
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    document.SeriesDescription = "Hippocamp report (research use only)"
    document.ManufacturerModelName = SOFTWARE
    document.SoftwareVersions = software_version()
    document.DeviceSerialNumber = report.result.model_digest[:16] or "unknown"
    stamp(document, report.finished)
    return document


def _content(report: Report, picture: highdicom.sc.SCImage) -> sr.MeasurementReport:
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=uid(report, "device"),
        name=SOFTWARE,
        manufacturer_name=SOFTWARE,
        model_name=report.result.model_digest[:16],
    )
    observer = sr.ObserverContext(codes.DCM.Device, device)
    return sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=_MR_BRAIN,
        imaging_measurements=[_answer(report, picture), *_regions(report), _quality(report)],
    )


def _answer(report: Report, picture: highdicom.sc.SCImage) -> sr.MeasurementsAndQualitativeEvaluations:
    result = report.result
    stage = _code(f"cdr-{result.cdr}", f"CDR {result.cdr}: {result.label}")
    verdicts = [
        (_code("stage", "CDR group estimated from MRI"), stage),
        (
            _code("uncertain", "No stage can be ruled out"),
            codes.SCT.Yes if result.uncertain else codes.SCT.No,
        ),
        *((_IN_SET, _code(f"cdr-{cdr}", f"CDR {cdr}")) for cdr in result.prediction_set),
        (_USE, _code("research", NOTICE)),
    ]
    distance = _code("out-of-distribution", "Distance from the training data")
    found = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid(report, "answer"), "Alzheimer's stage"),
        finding_sites=[sr.FindingSite(codes.SCT.Brain)],
        algorithm_id=_algorithm(report),
        measurements=[
            *(_probability(stage) for stage in report.stages),
            *(_clinical(stage) for stage in report.clinical),
            sr.Measurement(distance, round(result.out_of_distribution, 4), _RATIO),
        ],
        qualitative_evaluations=[sr.QualitativeEvaluation(name, value) for name, value in verdicts],
        source_images=[sr.SourceImageForMeasurementGroup(picture.SOPClassUID, picture.SOPInstanceUID)],
    )
    found[0].ContentSequence.extend(_texts(report))
    return found


def _texts(report: Report) -> Iterator[sr.TextContentItem]:
    """What is said in sentences, which a code's meaning of 64 characters would cut."""
    series = report.result.series
    said = [
        *((_NOTICE, f"{one.severity}: {one.text} [{one.code}]") for one in report.notices),
        *([(_SERIES, named(series))] if series else []),
        *((_PASSED_OVER, line) for line in report.passed_over),
        (_USE, NOTICE),
    ]
    for name, text in said:
        yield sr.TextContentItem(name, text, sr.RelationshipTypeValues.CONTAINS)


_NOTICE = Code("notice", SCHEME, "What a reader must know")
_SERIES = Code("series", SCHEME, "Series that was read")
_PASSED_OVER = Code("passed-over", SCHEME, "Series that was passed over")
_USE = Code("use", SCHEME, "Intended use")
_IN_SET = Code("prediction-set", SCHEME, "Cannot be ruled out at 90 %")


def _probability(stage: Stage) -> sr.Measurement:
    """The probability; its interval as the two one-sided uncertainties of TID 310."""
    above, below = max(0.0, stage.high - stage.probability), max(0.0, stage.probability - stage.low)
    return sr.Measurement(
        _code(f"probability-{stage.key}", f"Probability of CDR {stage.cdr}"),
        round(stage.probability, 6),
        _RATIO,
        properties=sr.MeasurementProperties(
            upper_measurement_uncertainty=round(above, 6), lower_measurement_uncertainty=round(below, 6)
        ),
    )


def _clinical(stage: Stage) -> sr.Measurement:
    """The probability that image and covariates give together."""
    name = _code(f"clinical-{stage.key}", f"Probability of CDR {stage.cdr} with covariates")
    return sr.Measurement(name, round(stage.probability, 6), _RATIO)


def _regions(report: Report) -> list[sr.MeasurementsAndQualitativeEvaluations]:
    found = report.result.regions
    measurements = [
        sr.Measurement(_code(f"region-{n}", f"Activation: {name}"), value, _RATIO)
        for n, (name, value) in enumerate(found.items(), start=1)
    ]
    name = sr.TrackingIdentifier(uid(report, "regions"), "Activation by region")
    return (
        [sr.MeasurementsAndQualitativeEvaluations(tracking_identifier=name, measurements=measurements)]
        if found
        else []
    )


def _quality(report: Report) -> sr.MeasurementsAndQualitativeEvaluations:
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid(report, "quality"), "Image quality"),
        measurements=[
            sr.Measurement(_code(f"quality-{n}"[:16], f"Image quality: {name}"[:64]), round(value, 6), _RATIO)
            for n, (name, value) in enumerate(sorted(report.result.quality.items()), start=1)
        ],
    )


def _algorithm(report: Report) -> sr.AlgorithmIdentification:
    result = report.result
    digests = [f"model sha256 {result.model_digest}", f"pipeline sha256 {result.pipeline_digest}"]
    return sr.AlgorithmIdentification(
        SOFTWARE, software_version(), parameters=[*digests, f"arithmetic {result.model_engine or 'unknown'}"]
    )


def _code(value: str, meaning: str) -> Code:
    """A private code: at most 16 characters of value (VR SH) and 64 of meaning (LO)."""
    return Code(_SHORT.get(value, value), SCHEME, meaning[:64])


_SHORT = {
    "probability-cdr0": "p-cdr0",
    "probability-cdr05": "p-cdr05",
    "probability-cdr1": "p-cdr1",
    "out-of-distribution": "ood",
}
