"""Nothing that PS3.15's basic profile names survives, at any depth; what reports and readers need does."""

from __future__ import annotations

import io
import random
import re
from pathlib import Path
from typing import Any

import pydicom
import pytest
from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as profile
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from contracts import series_words
from contracts.series_words import descriptor
from imaging.deidentify import Rules, patient_of, pseudonym
from imaging.dicom_file import UnreadableInstance
from imaging.instances import deidentify
from imaging.patient import Patient
from tests.hostile.dicom_files import enhanced, image, nested

CANARY = "Zqxcanary"
KEPT = {tag_for_keyword(name) for name in (
    "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",  # Retain UIDs Option
    "SeriesDescription",  # Clean Descriptors Option
    "PatientName", "PatientID",  # present and empty
    "ContrastBolusAgent",  # a dummy value: that one was given, not which
)}  # fmt: skip
"""Elements of the profile's table that a cleaned instance still has."""

VALUES: dict[str, Any] = {
    "DA": "19400101", "DT": "19400101120000", "TM": "112233", "AS": "071Y", "UI": "1.2.840.99999.7",
    "DS": "7777777", "IS": "7777777", "CS": CANARY.upper(), "AE": CANARY, "UR": f"http://{CANARY}",
}  # fmt: skip
TELLING = (CANARY, "19400101", "112233", "071Y", "1.2.840.99999.7", "7777777")


def plant(dataset: Dataset, tag: BaseTag) -> None:
    """A telling value that fits the element."""
    kind = dictionary_VR(tag).split(" or ")[0]
    if kind == "SQ":
        dataset.add_new(tag, "SQ", [nested(PatientName=CANARY)])
    elif kind in {"OB", "OW", "UN", "OF", "OD", "OL"}:
        dataset.add_new(tag, kind, CANARY.encode() + b"\0")
    elif kind in {"US", "SS", "UL", "SL", "FL", "FD", "AT"}:
        dataset.add_new(tag, kind, 1)
    else:
        dataset.add_new(tag, kind, VALUES.get(kind, CANARY))


def table() -> list[BaseTag]:
    """Every single element of table E.1-1."""
    return [Tag(one) for one in profile.ALL_TAGS if len(one) == 2 and keyword_for_tag(Tag(one))]


def planted() -> bytes:
    """An instance with every element of the table, and all of them again inside two sequences."""

    def change(data: Dataset, k: int) -> None:
        inner = Dataset()
        for tag in table():
            plant(inner, tag)
            if tag not in KEPT and tag.group > 2:
                plant(data, tag)
        data.PatientName = data.PatientID = data.SeriesDescription = f"{CANARY} t1 mprage"
        data.SharedFunctionalGroupsSequence = [inner]
        data.ReferencedImageSequence = [nested(PurposeOfReferenceCodeSequence=[inner])]
        block = data.private_block(0x0011, CANARY, create=True)
        block.add_new(1, "LO", CANARY)
        data.private_block(0x7FE1, CANARY, create=True).add_new(1, "LO", CANARY)  # behind the pixels

    return image(0, change)


def elements(dataset: Dataset) -> list[BaseTag]:
    """Tags at every depth."""
    return [element.tag for element in dataset.iterall()]


def test_nothing_of_the_basic_profile_survives() -> None:
    data = planted()
    assert len(table()) > 500
    assert sum(word.encode() in data for word in TELLING) == len(TELLING)
    clean = deidentify(data)
    found = [word for word in TELLING if word.lower().encode() in clean.lower()]
    assert found == []
    left = set(elements(pydicom.dcmread(io.BytesIO(clean)))) & set(table())
    assert left <= KEPT, [keyword_for_tag(tag) for tag in left - KEPT]


def test_what_is_done_is_written_down() -> None:
    clean = pydicom.dcmread(io.BytesIO(deidentify(planted())))
    assert (clean.PatientIdentityRemoved, clean.PatientName, clean.PatientID) == ("YES", "", "")
    assert clean.SeriesDescription == "t1 mprage"
    codes = [item.CodeValue for item in clean.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113105", "113110"]
    mapped = pydicom.dcmread(io.BytesIO(deidentify(planted(), Rules("secret"))))
    assert [item.CodeValue for item in mapped.DeidentificationMethodCodeSequence] == codes[:2]


def test_uids_are_kept_or_mapped_alike_everywhere() -> None:
    one, two = (pydicom.dcmread(io.BytesIO(image(k, lambda data, k: None))) for k in (0, 1))
    kept = pydicom.dcmread(io.BytesIO(deidentify(image(0, lambda data, k: None))))
    assert kept.StudyInstanceUID == one.StudyInstanceUID
    mapped = [pydicom.dcmread(io.BytesIO(deidentify(encoded(each), Rules("secret")))) for each in (one, two)]
    assert mapped[0].StudyInstanceUID == mapped[1].StudyInstanceUID != one.StudyInstanceUID
    assert mapped[0].SOPInstanceUID != mapped[1].SOPInstanceUID
    assert mapped[0].file_meta.MediaStorageSOPInstanceUID == mapped[0].SOPInstanceUID
    assert one.SOPInstanceUID.encode() not in deidentify(encoded(one), Rules("secret"))
    assert pseudonym("1.2.3", "a") != pseudonym("1.2.3", "b")
    assert pydicom.uid.UID(pseudonym("1.2.3", "a")).is_valid


def encoded(dataset: Dataset) -> bytes:
    """PS3.10 bytes."""
    out = io.BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def transferred(syntax: str) -> bytes:
    """A slice in another transfer syntax."""
    one = pydicom.dcmread(io.BytesIO(image(0, lambda data, k: None)))
    if syntax in {RLELossless, JPEGLSLossless}:
        one.compress(syntax)
    if syntax == ExplicitVRBigEndian:
        one.PixelData = one.pixel_array.astype(">u2").tobytes()
    one.file_meta.TransferSyntaxUID = syntax
    out = io.BytesIO()
    pydicom.dcmwrite(out, one, implicit_vr=None, enforce_file_format=True)
    return out.getvalue()


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEGLSLossless,
    ],
)
def test_pixels_come_through_in_every_transfer_syntax(syntax: str) -> None:
    wanted = pydicom.dcmread(io.BytesIO(image(0, lambda data, k: None))).pixel_array
    clean = pydicom.dcmread(io.BytesIO(deidentify(transferred(syntax))))
    assert (clean.pixel_array == wanted).all()
    assert clean.ImagePositionPatient == [0, 0, 0]


def test_geometry_of_enhanced_images_stays() -> None:
    clean = pydicom.dcmread(io.BytesIO(deidentify(image(0, enhanced))))
    first = clean.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    assert first.ImagePositionPatient == [0, 0, 141]
    assert clean.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing == [3, 3]


def test_cleaning_twice_changes_nothing() -> None:
    once = deidentify(planted())
    assert deidentify(once) == once


def test_names_in_the_wrong_place_go_too() -> None:
    def change(data: Dataset, k: int) -> None:
        data.Modality, data.ImageType = CANARY.upper(), ["ORIGINAL", CANARY.upper(), "T2_STAR"]
        data.add_new(tag_for_keyword("EchoTime"), "LO", CANARY)

    clean = deidentify(image(0, change))
    assert CANARY.lower().encode() not in clean.lower()
    read = pydicom.dcmread(io.BytesIO(clean))
    assert (read.Modality, list(read.ImageType)) == ("OTHER", ["ORIGINAL", "OTHER", "T2"])


def test_a_name_as_a_size_is_refused() -> None:
    """Nobody can tell where the pixels end, and what follows them."""

    def change(data: Dataset, k: int) -> None:
        data.add_new(tag_for_keyword("Rows"), "LO", CANARY)

    with pytest.raises(UnreadableInstance) as refused:
        deidentify(image(0, change))
    assert CANARY not in str(refused.value)


def test_a_name_as_identifier_is_refused() -> None:
    def change(data: Dataset, k: int) -> None:
        data.StudyInstanceUID = CANARY

    with pytest.raises(UnreadableInstance) as refused:
        deidentify(image(0, change))
    assert CANARY not in str(refused.value)


def test_descriptions_are_reduced_to_known_words() -> None:
    assert descriptor("Mueller, Hans t1_mprage_sag post Gad") == "t1 mprage post gad"
    assert descriptor("Hans Mueller 1940") == ""


WORDS = """
    t1 t1w t2 mp2rage mprage mp rage spgr fspgr bravo tfl 3d tfe gre ir fse flair post contrast
    contraste contrasto kontrast kontrastmittel gado gadolinium gadovist gadoteridol gadavist dotarem
    multihance gad gd km k.m ce mdc smdc c+ t1c+ t1c t1wc t1gd t1gad t1ce t1km + c +c enhanced
    enhancement unenhanced inject injecte injected injectee injection inj with out without w/o wo ohne
    sans sin senza sem pre vor no non o o. s/ avant before subtr subtraction aktion subtraktion sub inv
    1 2 phase pha imag imaginary mpr mip reformat reformatted resampled mask seg dseg aseg label labels
    map images diff diffusion bold fmri perf perfusion dwi dti adc trace tracew asl pcasl swi tof mra pd
    spine pet ct uni den norm localizer localiser scout survey local loc pl 3 i.v. iv medio mezzo de di
"""
KNOWN = frozenset(WORDS.split())
"""Every part that a cleaned description may have in the test below."""

SPOKEN = (
    "Kontrast", "Gado", "gadolinium", "subtr", "Subtraktion", "ohne_Kontrast",
    "T1", "mprage", "post", "Gd", "KM",
    "w/o contrast", "non enhanced", "senza mdc", "injecte", "+C", "t2_flair", "inv-1", "localizer", "Dotarem",
)  # fmt: skip


@pytest.mark.parametrize("glue", ["", "_", "-", " ", ".", "^", "/", "é"])
@pytest.mark.parametrize("word", SPOKEN)
def test_only_words_of_a_finite_list_survive(word: str, glue: str) -> None:
    rng = random.Random(word + glue)
    for _ in range(40):
        name = rng.choice(("Mueller", "Anna", "xqzv", "Müller", "Schmidt", "Kowalska", "Ryu"))
        day = rng.choice(("19500101", "1950", ""))
        found = descriptor(glue.join((rng.choice(SPOKEN), word, name, day)))
        assert set(re.split(r"[ _-]+", found)) - {""} <= KNOWN, found
        assert descriptor(found) == found
    assert descriptor("ohne_Kontrast_Mueller_Anna_19500101") == "ohne_kontrast"


def test_no_word_is_open_ended() -> None:
    source = Path(series_words.__file__).read_text()
    assert not re.search(r"\\[wWS]|\.\*|\.\+|\][*+]|\)[*+]|\{\d*,\}", source)


def test_age_and_sex_stay_when_they_are_asked_for() -> None:
    def change(data: Dataset, k: int) -> None:
        data.PatientAge, data.PatientSex, data.PatientWeight = "095Y", "F", 61

    asked = pydicom.dcmread(io.BytesIO(deidentify(image(0, change), Rules(keep=frozenset(("age", "sex"))))))
    assert (asked.PatientAge, asked.PatientSex, "PatientWeight" in asked) == ("090Y", "F", False)
    assert asked.DeidentificationMethodCodeSequence[-1].CodeValue == "113108"
    unasked = pydicom.dcmread(io.BytesIO(deidentify(image(0, change))))
    assert not {"PatientAge", "PatientSex"} & set(unasked.dir())


@pytest.mark.parametrize(
    ("age", "sex", "found"),
    [
        ("071Y", "F", Patient(71, "F")),
        ("095Y", "M", Patient(90, "M")),
        ("018M", "O", Patient(0, "O")),
        ("seventy", "Hans", Patient()),
        (None, None, Patient()),
    ],
)
def test_age_and_sex(age: str | None, sex: str | None, found: Patient) -> None:
    dataset = Dataset()
    if age and sex:
        dataset.add_new(tag_for_keyword("PatientAge"), "AS", age)
        dataset.add_new(tag_for_keyword("PatientSex"), "CS", sex)
    assert patient_of(dataset) == found
    assert patient_of(dataset).only(frozenset({"sex"})) == Patient(0, found.sex)
