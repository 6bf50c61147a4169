"""FHIR R4: a Bundle of one DiagnosticReport, its Observations and the Device that made them.

https://hl7.org/fhir/R4/diagnosticreport.html; no Patient is in it, because the service knows none.
"""

from __future__ import annotations

import json
from typing import Any

from contracts.result import NOTICE
from gateway.reports.notices import Severity, named
from gateway.reports.report import SOFTWARE, Report, Stage, software_version

MEDIA_TYPE = "application/fhir+json"
CODES = "urn:hippocamp:codes"
"""Code system of what no terminology names; docs/reference/result-formats.md lists its codes."""
_MR_BRAIN = {"system": "http://loinc.org", "code": "24590-2", "display": "MR Brain"}
_IMAGING = "http://terminology.hl7.org/CodeSystem/observation-category"
_RADIOLOGY = "http://terminology.hl7.org/CodeSystem/v2-0074"

Json = dict[str, Any]


def render(report: Report) -> bytes:
    """The bundle as JSON, UTF-8; every resource is referred to by a urn:uuid of its own."""
    observations = [_stage_observation(report), *(_probability(report, stage) for stage in report.stages)]
    observations += [*_clinical(report), _distance(report), *_regions(report), *_quality(report)]
    observations += [*_notices(report), *_series(report)]
    resources = [_diagnostic_report(report, observations), *observations, _device(report)]
    bundle = {
        "resourceType": "Bundle",
        "identifier": _identifier(report),
        "type": "collection",
        "timestamp": report.finished.isoformat(timespec="seconds"),
        "entry": [{"fullUrl": _urn(report, one["id"]), "resource": one} for one in resources],
    }
    return json.dumps(bundle, ensure_ascii=False).encode()


def _diagnostic_report(report: Report, observations: list[Json]) -> Json:
    result = report.result
    stages = ", ".join(result.prediction_set)
    doubt = " No stage can be ruled out." if result.uncertain else ""
    warnings = _warnings(report)
    return {
        "resourceType": "DiagnosticReport",
        "id": "report",
        "identifier": [_identifier(report)],
        "status": "preliminary",  # made by software, read by nobody yet
        "category": [{"coding": [{"system": _RADIOLOGY, "code": "RAD", "display": "Radiology"}]}],
        "code": {"coding": [_MR_BRAIN], "text": "Alzheimer's stage from a T1-weighted MRI of the brain"},
        "effectiveDateTime": report.created.isoformat(timespec="seconds"),
        "issued": report.finished.isoformat(timespec="milliseconds"),
        "performer": [{"display": f"{SOFTWARE} {software_version()} (software, research use only)"}],
        "result": [{"reference": _urn(report, one["id"])} for one in observations],
        **_imaging_study(report),
        "conclusion": f"CDR {result.cdr} ({result.label}); 90 % set: CDR {stages}.{doubt} {warnings}{NOTICE}",
    }


def _warnings(report: Report) -> str:
    return "".join(f"{one.text} " for one in report.notices if one.severity is Severity.WARNING)


def _notices(report: Report) -> list[Json]:
    """One observation, a coded value and a text a notice, so that a receiver may sort them by code."""
    parts = [
        {
            "code": _code("notice", f"Notice ({one.severity})"),
            "valueCodeableConcept": {"coding": [{"system": CODES, "code": one.code}], "text": one.text},
        }
        for one in report.notices
    ]
    return (
        [_observation(report, "notices", "What a reader must know") | {"component": parts}] if parts else []
    )


def _series(report: Report) -> list[Json]:
    """The series that was read, and as notes those passed over."""
    series = report.result.series
    if series is None:
        return []
    value: Json = {"valueString": named(series)}
    if report.passed_over:
        value["note"] = [{"text": f"Passed over: {line}"} for line in report.passed_over]
    return [_observation(report, "series", "Series that was read") | value]


def _imaging_study(report: Report) -> Json:
    source = report.stack.source
    if source is None:
        return {}
    identifier = {"system": "urn:dicom:uid", "value": f"urn:oid:{source.study}"}
    return {"imagingStudy": [{"type": "ImagingStudy", "identifier": identifier}]}


def _stage_observation(report: Report) -> Json:
    result = report.result
    coding = {"system": CODES, "code": f"cdr-{result.cdr}", "display": f"CDR {result.cdr}: {result.label}"}
    value = {"valueCodeableConcept": {"coding": [coding], "text": f"CDR {result.cdr}: {result.label}"}}
    ruled_in = [f"CDR {cdr}" for cdr in result.prediction_set]
    note = [{"text": f"Cannot be ruled out at 90 %: {', '.join(ruled_in)}. {NOTICE}"}]
    if result.uncertain:
        coded = {"coding": [{"system": _INTERPRETATION, "code": "IND", "display": "Indeterminate"}]}
        value["interpretation"] = [coded]  # type: ignore[assignment]
    return (
        _observation(report, "stage", "Clinical Dementia Rating group, estimated from MRI")
        | value
        | {"note": note}
    )


_INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"


def _probability(report: Report, stage: Stage) -> Json:
    text = f"Probability of CDR {stage.cdr} ({stage.label})"
    parts = [
        {"code": _code(f"{stage.key}-{end}", f"90 % interval, {end} end"), "valueQuantity": _number(value)}
        for end, value in (("low", stage.low), ("high", stage.high))
    ]
    shown = {"valueQuantity": _number(stage.probability), "component": parts}
    return _observation(report, f"probability-{stage.key}", text) | shown


def _clinical(report: Report) -> list[Json]:
    """One observation: the group by image and covariates together, its components the probabilities."""
    found = report.result.clinical
    if found is None:
        return []
    coding = {"system": CODES, "code": f"cdr-{found.cdr}", "display": f"CDR {found.cdr}: {found.label}"}
    parts = [
        {"code": _code(f"clinical-{one.key}", f"CDR {one.cdr}"), "valueQuantity": _number(one.probability)}
        for one in report.clinical
    ]
    text = f"Clinical Dementia Rating group, estimated from MRI with {', '.join(found.used)}"
    value = {"valueCodeableConcept": {"coding": [coding], "text": coding["display"]}, "component": parts}
    return [_observation(report, "clinical", text) | value | {"note": [{"text": NOTICE}]}]


def _distance(report: Report) -> Json:
    text = "Distance from the training data; above 1 is unusual"
    value = {"valueQuantity": _number(report.result.out_of_distribution)}
    return _observation(report, "out-of-distribution", text) | value


def _regions(report: Report) -> list[Json]:
    """One observation whose components are the regions."""
    parts = [
        {"code": _code(f"region-{name.replace(' ', '-')}", name), "valueQuantity": _number(value)}
        for name, value in report.result.regions.items()
    ]
    text = f"Activation for CDR {report.result.cdr} by region, over its mean in the brain"
    return [_observation(report, "activation-by-region", text) | {"component": parts}] if parts else []


def _quality(report: Report) -> list[Json]:
    return [
        _observation(report, f"quality-{name.replace('_', '-')}", f"Image quality: {name}")
        | {"valueQuantity": _number(value)}
        for name, value in sorted(report.result.quality.items())
    ]


def _observation(report: Report, code: str, text: str) -> Json:
    return {
        "resourceType": "Observation",
        "id": code,
        "status": "preliminary",
        "category": [{"coding": [{"system": _IMAGING, "code": "imaging", "display": "Imaging"}]}],
        "code": _code(code, text),
        "effectiveDateTime": report.created.isoformat(timespec="seconds"),
        "device": {"reference": _urn(report, "device")},
    }


def _device(report: Report) -> Json:
    result = report.result
    versions = {
        "software": software_version(),
        "model": result.model_digest,
        "pipeline": result.pipeline_digest,
        "arithmetic": result.model_engine or "unknown",
    }
    return {
        "resourceType": "Device",
        "id": "device",
        "deviceName": [{"name": SOFTWARE, "type": "model-name"}],
        "version": [{"type": {"text": what}, "value": value} for what, value in versions.items()],
        "note": [{"text": NOTICE}],
    }


def _code(code: str, text: str) -> Json:
    return {"coding": [{"system": CODES, "code": code, "display": text}], "text": text}


def _number(value: float) -> Json:
    return {"value": round(float(value), 6), "unit": "1", "system": "http://unitsofmeasure.org", "code": "1"}


def _identifier(report: Report) -> Json:
    return {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{report.derived_uuid('fhir')}"}


def _urn(report: Report, what: str) -> str:
    return f"urn:uuid:{report.derived_uuid(f'fhir/{what}')}"
