"""Each kind of input that people send is read, or refused with its true reason: as sent, and as stored."""

from __future__ import annotations

import gzip
import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from client.sources import open_source
from contracts.errors import HippocampError
from gateway.uploads.sanitize.task import KINDS, Task, perform, result_of
from imaging.sniff import PEEK, sniff
from preprocessing_service.steps.read import read
from preprocessing_service.volume import Volume
from tests.inputs import made
from tests.inputs.conftest import Row
from tests.integration.dicomweb.series import encoded, slices

pytestmark = pytest.mark.inputs


@dataclass(frozen=True)
class Case:
    """wanted: codes of what is passed over, or the code of the refusal."""

    make: Callable[[], bytes]
    wanted: str = ""


def plain() -> bytes:
    return made.study(made.t1())


def each(change: Callable[..., bytes]) -> bytes:
    return made.zipped(change(one) for one in made.t1())


READ: dict[str, Case] = {
    "plain series": Case(plain),
    "no preamble, implicit": Case(lambda: each(lambda one: made.bare(one, implicit=True))),
    "no preamble, explicit": Case(lambda: each(lambda one: made.bare(one, implicit=False))),
    "preamble without meta header": Case(lambda: each(made.without_meta)),
    "meta header without preamble": Case(lambda: each(made.without_preamble)),
    "overlay in bit 12": Case(lambda: made.study(made.changed(made.t1(), made.with_overlay))),
    "values in the upper bits": Case(lambda: made.study(made.changed(made.t1(), made.shifted))),
    "signed values of 12 bits": Case(lambda: made.study(made.changed(made.t1(), made.signed))),
    "JPEG Lossless SV1": Case(lambda: made.study(made.changed(made.t1(), made.jpeg_lossless))),
    "dcm.gz": Case(lambda: each(lambda one: gzip.compress(encoded(one), 1))),
    "zip in zip": Case(lambda: made.zipped({"export.zip": plain()})),
    "magnitude and phase": Case(lambda: made.study(made.t1(), made.phase()), "complex_part"),
    "magnitude and phase of GE": Case(lambda: made.study(made.t1(), made.ge_phase()), "complex_part"),
    "T1 with SR": Case(lambda: made.study(made.t1(), made.DOCUMENTS["SR"]()), "not_mr"),
    "T1 with PR": Case(lambda: made.study(made.t1(), made.DOCUMENTS["PR"]()), "not_mr"),
    "T1 with KO": Case(lambda: made.study(made.t1(), made.DOCUMENTS["KO"]()), "not_mr"),
    "T1 with PDF": Case(lambda: made.study(made.t1(), made.DOCUMENTS["PDF"]()), "not_mr"),
    "T1 with a screen save": Case(lambda: made.study(made.t1(), made.capture()), "not_mr"),
    "T1 with a colour map": Case(lambda: made.study(made.t1(), made.colour()), "colour"),
    "T1 with a localizer": Case(
        lambda: made.study(made.t1(), made.other(count=5, SeriesDescription="localizer")), "localizer"
    ),
    "T1 with FLAIR of more slices": Case(
        lambda: made.study(made.t1(), made.other(count=40, SeriesDescription="t2_flair")), "other_contrast"
    ),
    "T1 with an unnamed larger series": Case(
        lambda: made.study(
            made.t1(),
            made.other(
                count=40, SeriesDescription="head", ScanningSequence="SE", RepetitionTime=5000, EchoTime=90
            ),
        ),
        "not_t1",
    ),
    "T1 with a larger contrast-enhanced one": Case(
        lambda: made.study(made.t1(), made.other(count=40, SeriesDescription="T1 +C")), "contrast_agent"
    ),
    "T1 with one after an agent by its header": Case(
        lambda: made.study(made.t1(), made.other(count=40, ContrastBolusAgent="Gadovist")), "contrast_agent"
    ),
    "T1 with a reformatted one of more slices": Case(
        lambda: made.study(
            made.t1(), made.other(count=40, ImageType=["DERIVED", "SECONDARY", "MPR"], SeriesDescription="t1")
        ),
        "derived",
    ),
    "T1 with a subtraction": Case(
        lambda: made.study(made.t1(), made.other(count=40, SeriesDescription="t1 SUB")), "subtraction"
    ),
    "MP2RAGE UNI with INV1 and INV2": Case(
        lambda: made.study(
            made.t1(
                ImageType=["DERIVED", "PRIMARY", "M", "ND", "UNI"], SeriesDescription="t1_mp2rage_UNI_Images"
            ),
            made.other("1.2.3.2", SeriesDescription="t1_mp2rage_INV1"),
            made.other("1.2.3.3", ImageType=["ORIGINAL", "PRIMARY", "M", "INV2"]),
        ),
        "inversion_image inversion_image",
    ),
    "T1 with an unreadable compression beside it": Case(
        lambda: made.zipped([*map(encoded, made.t1()), *[unknown_syntax(one) for one in made.other()]]),
        "not_readable",
    ),
}  # fmt: skip


def unknown_syntax(one: object) -> bytes:
    """JPEG baseline, which no T1 series has."""
    one.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.50"  # type: ignore[attr-defined]
    one.PixelData = made.encapsulate([b"\xff\xd8\xff\xd9"])  # type: ignore[attr-defined]
    one["PixelData"].is_undefined_length = True  # type: ignore[index]
    return encoded(one)  # type: ignore[arg-type]


VOLUMES: dict[str, Case] = {
    "nii.gz in zip": Case(lambda: made.zipped({"scan.nii.gz": gzip.compress(made.nifti())})),
    "nii.gz in zip with a sidecar": Case(
        lambda: made.zipped(
            {"a/scan.nii.gz": gzip.compress(made.nifti()), "a/scan.json": b"{}", "a/LICENSE": b"x"}
        )
    ),
    "volume of a name that tells nothing": Case(lambda: made.zipped({"scan": made.nifti()})),
    "BIDS folder": Case(lambda: made.bids("sub-01"), "contrast_agent other_contrast other_contrast"),
    "two runs of one visit": Case(
        lambda: volumes("sub-1_ses-1_run-1_T1w.nii", "sub-1_ses-1_run-2_T1w.nii"), "another_t1"
    ),
    "two runs in zips named as their files": Case(
        lambda: made.zipped({"sub-1.zip": volumes("sub-1_run-1_T1w.nii", "sub-1_run-2_T1w.nii")}),
        "another_t1",
    ),
    "two runs in a zip of one subject": Case(
        lambda: made.zipped({"sub-1.zip": volumes("run-1_T1w.nii", "run-2_T1w.nii")}), "another_t1"
    ),
    "hdr + img + mat": Case(lambda: made.zipped({**made.pair(), "Scan.mat": b"MATLAB 5.0"})),
    "hdr + img in a zip in a zip": Case(lambda: made.zipped({"x.zip": made.zipped(made.pair())})),
    "pair of two names": Case(
        lambda: made.zipped({"1.hdr": made.pair()["Scan.hdr"], "2.img": made.pair()["Scan.img"]})
    ),
    "gzip of a name that tells nothing": Case(
        lambda: made.zipped({"00001.gz": gzip.compress(made.nifti()), "00002": b"{}"})
    ),
    "pixdim[0] = 0": Case(lambda: made.nifti(pixdim=[0, 3, 3, 3, 0, 0, 0, 0], qform_code=1, sform_code=0)),
}  # fmt: skip

FRAMES: dict[str, Case] = {
    "bare enhanced multi-frame": Case(made.multi_frame),
    "bare enhanced multi-frame, gzipped": Case(lambda: gzip.compress(made.multi_frame(), 1)),
}

SEVERAL = "input.several_studies"


def volumes(*names: str) -> bytes:
    """An archive of the same volume under each name."""
    return made.zipped(dict.fromkeys(names, made.nifti()))


def folder(*names: str) -> bytes:
    """What `hippocamp submit FOLDER` sends of these files."""
    with tempfile.TemporaryDirectory() as place:
        for name in names:
            (Path(place) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(place) / name).write_bytes(made.nifti())
        source = open_source(Path(place))
        try:
            return b"".join(source.pieces())
        finally:
            source.close()


REFUSED: dict[str, Case] = {
    "two patients": Case(
        lambda: made.study(made.t1(), slices("1.9.1", StudyInstanceUID="1.9", PatientID="OTHER")),
        "input.several_studies",
    ),
    "two patients in one study": Case(
        lambda: made.study(made.t1(), made.other(PatientID="OTHER")), "input.several_studies"
    ),
    "two visits": Case(
        lambda: made.study(made.t1(), slices("1.9.1", StudyInstanceUID="1.9")), "input.several_studies"
    ),
    "BIDS folder of two": Case(lambda: made.bids("sub-01", "sub-02"), "input.several_studies"),
    "volumes of two by surname": Case(lambda: volumes("Mueller_T1.nii", "Schmidt_T1.nii"), SEVERAL),
    "volumes of two by folder": Case(lambda: volumes("subject01/T1.nii", "subject02/T1.nii"), SEVERAL),
    "volumes of three by number": Case(lambda: volumes("T1_001.nii", "T1_002.nii", "T1_003.nii"), SEVERAL),
    "volumes of two years": Case(lambda: volumes("2019/T1w.nii", "2024/T1w.nii"), SEVERAL),
    "a T1 and one whose name tells nothing": Case(lambda: volumes("Mueller.nii", "Schmidt_T1.nii"), SEVERAL),
    "a T1 and the FLAIR of somebody else": Case(
        lambda: volumes("sub-01_T1w.nii", "sub-02_FLAIR.nii"), SEVERAL
    ),
    "a T1 with and one without a subject": Case(lambda: volumes("sub-01_T1w.nii", "T1w.nii"), SEVERAL),
    "two visits in BIDS": Case(lambda: volumes("sub-1_ses-1_T1w.nii", "sub-1_ses-2_T1w.nii"), SEVERAL),
    "two labels of one beginning": Case(
        lambda: volumes("sub-m\u00fcller_T1w.nii", "sub-m\u00e4hl_T1w.nii"), SEVERAL
    ),
    "two labels with a hyphen": Case(
        lambda: volumes("sub-doe-ann/T1w.nii", "sub-doe-bob/T1w.nii"), SEVERAL
    ),
    "two such labels, as the command sends them": Case(
        lambda: folder("sub-M\u00fcller/T1w.nii", "sub-M\u00e4hl/T1w.nii"), SEVERAL
    ),
    "a visit and none in BIDS": Case(lambda: volumes("sub-1_ses-1_T1w.nii", "sub-1_T1w.nii"), SEVERAL),
    "a zip each of two": Case(
        lambda: made.zipped({f"sub-0{n}.zip": volumes("T1w.nii") for n in (1, 2)}), SEVERAL
    ),
    "a folder of two, as the command sends it": Case(
        lambda: folder("Mueller/T1.nii", "Schmidt/T1.nii"), SEVERAL
    ),
    "a zip each of two, with a pair": Case(
        lambda: made.zipped({f"patient{n}.zip": made.zipped(made.pair()) for n in (1, 2)}),
        "input.not_a_volume",
    ),
    "header and image in a zip each": Case(
        lambda: made.zipped({f"{n}.zip": made.zipped({n: one}) for n, one in made.pair().items()}),
        "input.not_a_volume",
    ),
    "a volume and a pair": Case(
        lambda: made.zipped({**made.pair(), "T1.nii": made.nifti()}), "input.bad_series"
    ),
    "contrast agent by the header": Case(
        lambda: made.study(made.t1(ContrastBolusAgent="Dotarem")), "input.contrast_enhanced"
    ),
    "contrast agent by the name": Case(
        lambda: made.study(made.t1(SeriesDescription="Ax T1 post GAD")), "input.contrast_enhanced"
    ),
    "phase alone": Case(lambda: made.study(made.phase()), "input.bad_series"),
    "SR alone": Case(lambda: made.study(made.DOCUMENTS["SR"]()), "input.bad_series"),
    "FLAIR alone, by its name": Case(
        lambda: made.study(made.t1(SeriesDescription="t2_flair")), "input.bad_series"
    ),
    "one slice": Case(lambda: encoded(made.t1()[0]), "input.bad_series"),
    "NIfTI and DICOM": Case(
        lambda: made.zipped({"a.nii": made.nifti(), "b.dcm": encoded(made.t1()[0])}), "input.bad_series"
    ),
    "two headers, one image": Case(
        lambda: made.zipped({**made.pair(), "Other.hdr": b"x"*348, "Third.hdr": b"x"*348, "Other.img": b"y"}),
        "input.not_a_volume",
    ),
    "zip in zip in zip": Case(
        lambda: made.zipped({"a.zip": made.zipped({"b.zip": plain()})}), "input.not_a_volume"
    ),
}  # fmt: skip


ENHANCED: dict[str, Callable[[], bytes]] = {
    "by ce-": lambda: volumes("sub-01_ce-gad_T1w.nii"),
    "by acq-": lambda: volumes("sub-01_acq-gd_T1w.nii"),
    "by acq-, beside a T2": lambda: volumes("sub-01_acq-gd_T1w.nii", "sub-01_T2w.nii"),
    "in a folder that the command sends": lambda: folder("sub-Doe/anat/sub-Doe_ce-Gadovist_T1w.nii"),
    "in a pair": lambda: made.zipped(
        {f"sub-01_ce-gad_T1w{name[-4:]}": one for name, one in made.pair().items()}
    ),
    "in a zip in a zip": lambda: made.zipped({"a.zip": volumes("T1_KM.nii")}),
}


@pytest.mark.parametrize("name", ENHANCED)
def test_a_volume_whose_name_says_agent_is_read_only_where_that_is_allowed(name: str, tmp_path: Path) -> None:
    data = ENHANCED[name]()
    for kept in (data, stored(data)):
        with pytest.raises(HippocampError) as refused:
            opened(tmp_path, kept)
        assert refused.value.code == "input.contrast_enhanced"
        allowed = read(tmp_path / "upload", allow_agent=True)
        assert allowed.series is not None
        assert allowed.series.agent


def test_a_plain_volume_comes_before_one_after_an_agent(tmp_path: Path) -> None:
    volume = opened(tmp_path, stored(volumes("sub-01_acq-gd_T1w.nii", "sub-01_T1w.nii")))
    assert volume.series is not None
    assert (volume.series.description, volume.series.agent, told(volume)) == ("t1", False, "contrast_agent")


def stored(data: bytes) -> bytes:
    """As the gateway keeps it; raises what it refuses."""
    out = io.BytesIO()
    result_of(perform(Task(KINDS[sniff(data[:PEEK]).media], 64 << 20), io.BytesIO(data), out))
    return out.getvalue()


def opened(folder: Path, data: bytes) -> Volume:
    """As preprocessing reads it."""
    file = folder / "upload"
    file.write_bytes(data)
    return read(file)


def told(volume: Volume) -> str:
    """Codes of what was passed over."""
    return " ".join(sorted(one.code for one in volume.series.passed_over)) if volume.series else ""


def both(name: str, case: Case, folder: Path, rows: list[Row]) -> tuple[Volume, Volume]:
    """The volume of the file itself, and of what is stored."""
    data = case.make()
    found = opened(folder, data), opened(folder, stored(data))
    rows.append((name, f"read {case.wanted}", f"read {told(found[1])}"))
    for volume in found:
        assert told(volume) == case.wanted
    assert np.array_equal(found[0].voxels, found[1].voxels)
    assert np.array_equal(found[0].affine, found[1].affine)
    return found


@pytest.mark.parametrize("name", READ)
def test_the_t1_of_a_study_is_read(name: str, tmp_path: Path, rows: list[Row]) -> None:
    direct, _ = both(name, READ[name], tmp_path, rows)
    wanted = opened(tmp_path, plain())
    shift = 2000 if "signed" in name else 0
    assert np.array_equal(direct.voxels.astype(int) + shift, wanted.voxels)
    assert np.array_equal(direct.affine, wanted.affine)
    assert direct.series is not None
    assert (direct.series.number, direct.series.images, direct.series.voxel_mm) == (5, 20, (1, 1, 1))


@pytest.mark.parametrize("name", VOLUMES)
def test_the_volume_of_an_archive_is_read(name: str, tmp_path: Path, rows: list[Row]) -> None:
    for volume in both(name, VOLUMES[name], tmp_path, rows):
        assert np.array_equal(volume.voxels, made.VOXELS)
        assert np.allclose(volume.zooms, 3)
        assert dict(volume.facts).get("orientation_assumed", 0) == ("hdr" in name or "pair" in name)


@pytest.mark.parametrize("name", FRAMES)
def test_a_multi_frame_file_needs_no_archive(name: str, tmp_path: Path, rows: list[Row]) -> None:
    for volume in both(name, FRAMES[name], tmp_path, rows):
        assert volume.shape == (48, 64, 64)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_with_the_reason(name: str, tmp_path: Path, rows: list[Row]) -> None:
    case, details = REFUSED[name], []
    data = case.make()
    for refuse in (lambda: opened(tmp_path, data), lambda: opened(tmp_path, stored(data))):
        with pytest.raises(HippocampError) as refused:
            refuse()
        assert refused.value.code == case.wanted, refused.value.detail
        details.append(refused.value.detail)
    rows.append((name, case.wanted, refused.value.code))
    for detail in details:
        assert not {"canary", "1.2.3", "OTHER"} & set(detail.replace("'", " ").split())


def test_what_was_found_of_two_people_is_named_without_names() -> None:
    with pytest.raises(HippocampError) as refused:
        stored(REFUSED["two patients"].make())
    assert refused.value.figures == {"patients": 2, "studies": 2, "series": 2}
    assert "series 5 't1 mprage' (20 images)" in refused.value.detail


def test_an_assumed_orientation_is_a_fact_of_the_volume(tmp_path: Path) -> None:
    from nibabel import MGHImage

    assumed = made.nifti(sform_code=0, qform_code=0)
    mgh = bytearray(MGHImage(made.VOXELS, made.AFFINE).to_bytes())
    assert "orientation_assumed" not in dict(opened(tmp_path, bytes(mgh)).facts)
    mgh[28:30] = b"\0\0"  # goodRASFlag
    for data in (assumed, bytes(mgh)):
        for kept in (data, stored(data)):
            assert dict(opened(tmp_path, kept).facts)["orientation_assumed"] == 1


def test_a_folder_that_the_command_sends_is_read_as_it_is(tmp_path: Path) -> None:
    """`hippocamp submit FOLDER` gives numbers for names; what tells the volumes apart stays."""
    folder = tmp_path / "study"
    for name in ("anat/sub-Doe_T1w", "anat/sub-Doe_T2w", "anat/sub-Doe_ce-gadolinium_T1w"):
        file = folder / "sub-Doe" / f"{name}.nii.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(made.nifti()))
    source = open_source(folder)
    volume = opened(tmp_path, stored(b"".join(source.pieces())))
    source.close()
    assert told(volume) == "contrast_agent other_contrast"
    assert volume.series is not None
    assert volume.series.description == "t1"
