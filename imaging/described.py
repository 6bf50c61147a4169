"""What the headers of one DICOM series say about how it was made, for the rule that chooses (series.py)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydicom.dataset import Dataset

from contracts.series_words import label_of
from imaging.deidentify import DESCRIBED, agent_given, component_of

_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.4",  # MR Image
    "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image
    "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR Image
    "",
)
_PARTS = {
    "P": "P", "PHASE": "P", "PHASE MAP": "P", "R": "R", "REAL": "R", "I": "I", "IMAGINARY": "I", "IMAG": "I",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Described:
    """One series, or the part of it that is one stack. Times in ms, 0 when not given.

    number: as the scanner counts. words: of its description, after de-identification. part: P, R or I of a
    complex image, "" for the magnitude. agent: the header names a contrast agent. unfit: a code of
    imaging.series.Why that is known before the rule is asked.
    """

    number: int = 0
    modality: str = "MR"
    words: str = ""
    image_type: tuple[str, ...] = ()
    part: str = ""
    agent: bool = False
    sequences: frozenset[str] = frozenset()
    repetition_ms: float = 0.0
    echo_ms: float = 0.0
    inversion_ms: float = 0.0
    images: int = 1
    voxel_mm3: float = 0.0
    unfit: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "sequences": sorted(self.sequences)}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Described:
        """Read what `to_json` wrote."""
        sequences, image_type = frozenset(data["sequences"]), tuple(data["image_type"])
        return cls(**{**data, "sequences": sequences, "image_type": image_type})


def describe(header: Dataset, kind: Dataset | None = None) -> Described:
    """Of a header, before or after de-identification; kind: the item that holds an enhanced frame's type."""
    times, echo = _group(header, "MRTimingAndRelatedParametersSequence"), _group(header, "MREchoSequence")
    kinds = [kind] if kind is not None else _kinds(header)
    parts = {_part(_type(header, one), one.get("ComplexImageComponent"), header) for one in kinds}
    return Described(
        number=int(_number(header.get("SeriesNumber"))),
        modality=_modality(header),
        words=label_of(*(str(header.get(name) or "") for name in DESCRIBED)),
        image_type=_type(header, kinds[0]),
        part=parts.pop() if len(parts) == 1 else "",
        agent=agent_given(header),
        sequences=frozenset(_several(header.get("ScanningSequence"))),
        repetition_ms=_number(header.get("RepetitionTime") or times.get("RepetitionTime")),
        echo_ms=_number(header.get("EchoTime") or echo.get("EffectiveEchoTime")),
        inversion_ms=_number(header.get("InversionTime")),
        images=int(_number(header.get("NumberOfFrames"))) or 1,
        unfit=_unfit(header),
    )


def _unfit(header: Dataset) -> str:
    if _modality(header) != "MR" or str(header.get("SOPClassUID") or "") not in _CLASSES:
        return "not_mr"
    if (
        _number(header.get("SamplesPerPixel")) > 1
        or str(header.get("PhotometricInterpretation")) == "PALETTE COLOR"
    ):
        return "colour"
    return "" if header.get("Rows") else "no_pixels"


def _modality(header: Dataset) -> str:
    """As it may be shown; anything but a code may be a name in the wrong place."""
    stated = str(header.get("Modality") or "MR")
    return stated if re.fullmatch(r"[A-Z]{2,5}", stated) else "unknown"


def _group(header: Dataset, name: str) -> Dataset:
    """The item of a functional group that all frames share, or of the first frame."""
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for item in (header.get(groups) or [])[:1]:
            if found := item.get(name):
                return found[0]  # type: ignore[no-any-return]
    return Dataset()


def _kinds(header: Dataset) -> list[Dataset]:
    """The items that hold the frames' types: one for all, or one each; an empty one for a classic image."""
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    each = [shared, *(header.get("PerFrameFunctionalGroupsSequence") or [])]
    found = [item[0] for group in each if (item := group.get("MRImageFrameTypeSequence"))]
    return found or [Dataset()]


def _type(header: Dataset, kind: Dataset) -> tuple[str, ...]:
    return tuple(_several(kind.get("FrameType")) or _several(header.get("ImageType")))


def _part(image_type: Iterable[str], component: object, header: Dataset) -> str:
    """By the words of the image's type, the standard's element, and GE's private one."""
    stated = component or header.get("ComplexImageComponent")
    for word in (str(stated or ""), component_of(header)):
        if word in _PARTS:
            return _PARTS[word]
    words = [word.strip().upper() for word in image_type][2:]
    if {"M", "MAGNITUDE", "M_FFE", "M_SE"} & set(words):
        return ""
    return next((_PARTS[word] for word in words if word in _PARTS), "")


def _several(value: Any) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else [str(one) for one in value]


def _number(value: object) -> float:
    try:
        return float(str(value)) if value not in (None, "") else 0.0
    except ValueError:
        return 0.0
