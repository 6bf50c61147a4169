"""The rule that chooses among series: by kind before size, never with an agent, each with its reason."""

from __future__ import annotations

import io
from dataclasses import replace

import pydicom
import pytest

from contracts.errors import BadSeries, ContrastEnhanced
from contracts.series_words import descriptor
from imaging.described import Described, describe
from imaging.instances import deidentify
from imaging.series import Why, is_t1, passed_over, refusal, select, why_not, with_agent
from tests.integration.dicomweb.series import encoded, slices

pytestmark = pytest.mark.inputs

PLAIN = Described(number=5, words="t1 mprage", image_type=("ORIGINAL", "PRIMARY", "M"), images=176)


def named(description: str, **about: object) -> Described:
    """A series of this description, as de-identification leaves it."""
    return replace(PLAIN, words=descriptor(description), number=9, images=400, **about)  # type: ignore[arg-type]


AGENTS = (
    "T1 +C", "COR T1 SE+C", "T1 C+", "Ax T1 post", "t1_mprage_postcontrast", "T1 GD", "t1_gd", "T1GD",
    "t1ce", "T1c", "T1 KM", "T1 mit KM", "T1 CE", "T1 with contrast", "MPRAGE Gadovist",
    "sub-01_ce-gadolinium_T1w", "Ax FSPGR 3D POST GAD",
    "T1 MDC", "T1 dopo mdc", "T1 Dotarem", "T1 MULTIHANCE", "T1 k.m.", "T1 nach K.M.", "T1 enhanced",
    "T1 SE injecte", "T1 SE inject\u00e9", "T1 apres injection", "T1 con contraste", "T1 INJ",
    "contrast-enhanced T1", "T1 with and without contrast", "T1 W/WO CONTRAST", "T1 w & w/o gad",
    "T1 mit und ohne KM",
)  # fmt: skip
PLAINS = (
    "T1", "T1 posterior fossa", "T1 w/o contrast", "T1 without contrast", "non-contrast T1",
    "T1 pre contrast", "t1 pre gd", "T1 ohne KM", "MPRAGE post-op", "MPRAGE part2", "sT1W_3D_TFE",
    "SAG MPRAGE 220 FOV", "Ax BRAVO", "Ax T1 FLAIR", "t1_flair_sag",
    "T1 sin contraste", "T1 senza contrasto", "T1 senza mdc", "T1 smdc", "T1 S/GD", "T1 sem contraste",
    "T1 sans injection", "SE T1 non injecte", "T1 unenhanced", "non-enhanced T1", "T1 non contrast enhanced",
    "T1 o. KM", "T1 ohne k.m.", "T1 ohne Kontrastmittel", "T1 without Gadolinium", "T1 w/o IV contrast",
    "T1 sin medio de contraste", "T1 avant gado", "T1_postprocessed",
)  # fmt: skip


@pytest.mark.parametrize("description", AGENTS)
def test_an_agent_by_name_is_never_read(description: str) -> None:
    one = named(description)
    assert with_agent(one)
    assert select({"post": one, "plain": PLAIN}).chosen == "plain"
    chosen = select({"post": one})
    assert (chosen.chosen, chosen.passed) == (None, {"post": Why.AGENT})
    assert isinstance(refusal([passed_over(one, Why.AGENT)]), ContrastEnhanced)


@pytest.mark.parametrize("description", PLAINS)
def test_a_plain_name_is_plain(description: str) -> None:
    one = named(description)
    assert not with_agent(one)
    assert is_t1(one)
    assert why_not(one) is None


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (named("t2_flair"), Why.OTHER),
        (named("T2 FLAIR"), Why.OTHER),
        (named("flair t1 co-registered"), Why.OTHER),
        (named("ep2d_diff_trace"), Why.OTHER),
        (named("T1_MAP"), Why.OTHER),
        (named("t1_mp2rage_INV2"), Why.INVERSION),
        (named("x", image_type=("ORIGINAL", "PRIMARY", "M", "INV1")), Why.INVERSION),
        (named("t1 SUB"), Why.SUBTRACTION),
        (named("x", image_type=("DERIVED", "PRIMARY", "SUBTRACTION")), Why.SUBTRACTION),
        (named("localizer"), Why.LOCALIZER),
        (named("t1", part="P"), Why.PART),
        (named("t1", agent=True), Why.AGENT),
        (named("t1", unfit="colour"), Why.COLOUR),
        (named("t1", image_type=("DERIVED", "SECONDARY", "MPR")), Why.DERIVED),
        (named("x"), Why.NOT_T1),
    ],
)
def test_what_stands_beside_a_plain_series_is_passed_over(one: Described, why: Why) -> None:
    selection = select({"larger": one, "plain": PLAIN})
    assert (selection.chosen, selection.passed) == ("plain", {"larger": why})


@pytest.mark.parametrize(
    ("description", "protocol", "sequence", "why"),
    [
        ("Sag 3D T1 BRAVO", "BRAIN WITHOUT AND WITH CONTRAST", "", None),
        ("Sag 3D T1 BRAVO", "BRAIN T1 T2 FLAIR DWI", "*fl3d1", None),
        ("Sag T1", "BRAIN/MRA", "", None),
        ("Ax T1 FLAIR", "BRAIN WO", "", None),
        ("head", "t1_mprage_sag", "*tfl3d1", None),
        ("norm", "t1_mprage_sag", "*tfl3d1", None),
        ("head", "t2_space", "", Why.OTHER),
        ("head", "MPRAGE post Gad", "", Why.AGENT),
        ("post Gad", "BRAIN T1 T2", "", Why.AGENT),
        ("Ax DWI", "t1_mprage", "*tfl3d1", Why.OTHER),
    ],
)
def test_the_protocol_of_a_whole_visit_refuses_no_t1(
    description: str, protocol: str, sequence: str, why: Why | None
) -> None:
    """At the door, and again from what the door stores."""
    (slice_,) = slices("1.2.3.1", 1, SeriesDescription=description, ProtocolName=protocol)
    slice_.SequenceName, slice_.ScanningSequence = sequence, "RM"
    sent = encoded(slice_)
    door, worker = (
        replace(describe(pydicom.dcmread(io.BytesIO(data))), images=160) for data in (sent, deidentify(sent))
    )
    assert door.words == worker.words
    assert (why_not(door), why_not(worker)) == (why, why)
    assert is_t1(worker) or why


def test_mp2rage_is_read_from_its_uniform_image() -> None:
    uniform = named("t1_mp2rage_UNI_Images", image_type=("DERIVED", "PRIMARY", "M", "ND", "UNI"))
    first, second = named("t1_mp2rage_INV1"), named("t1_mp2rage_INV2")
    assert select({1: first, 2: second, 3: uniform}).chosen == 3


def test_a_derived_series_is_read_when_it_is_all_there_is() -> None:
    assert select({"only": named("t1 mpr", image_type=("DERIVED", "SECONDARY", "MPR"))}).chosen == "only"


def test_among_equals_the_finer_then_the_first_is_read() -> None:
    coarse, fine = replace(PLAIN, voxel_mm3=2.0), replace(PLAIN, voxel_mm3=1.0, number=8)
    assert select({"coarse": coarse, "fine": fine}).chosen == "fine"
    again = select({"second": replace(PLAIN, number=6), "first": PLAIN})
    assert (again.chosen, again.candidates, again.passed) == ("first", 2, {"second": Why.ANOTHER})


SHORT = {"sequences": frozenset({"GR"}), "repetition_ms": 28.0, "echo_ms": 5.0}


@pytest.mark.parametrize("description", ["", "ax 3d", "head high resolution"])
def test_a_t1_by_name_or_inversion_comes_before_short_times(description: str) -> None:
    larger = named(description, **SHORT)
    inverted = named("x", **{**SHORT, "inversion_ms": 900.0, "repetition_ms": 2300.0})
    small = replace(inverted, images=120)
    assert is_t1(larger)
    assert select({"larger": larger, "named": PLAIN}).chosen == "named"
    assert select({"larger": larger, "inverted": small}).chosen == "inverted"
    assert select({"larger": larger}, strict=True).chosen == "larger"


@pytest.mark.parametrize(
    "description",
    [
        "CISS", "t1_ciss3d", "Ax FIESTA", "FIESTA-C", "TrueFISP", "TRUFI", "bFFE", "3D_B-FFE", "QSM",
        "SWAN", "swi",
        "B0 map", "tfl_b1_map", "MT", "MT_on", "t1_mt_off", "gre_field_mapping",
    ],
)  # fmt: skip
def test_short_times_of_another_contrast_are_no_t1(description: str) -> None:
    assert why_not(named(description, **SHORT)) is Why.OTHER
    assert select({"larger": named(description, **SHORT), "plain": PLAIN}).chosen == "plain"


def test_without_any_name_the_only_stack_is_read_unless_the_sender_sends_everything() -> None:
    unnamed = Described(images=160)
    assert select({"only": unnamed}).chosen == "only"
    assert select({"only": unnamed}, strict=True).passed == {"only": Why.NOT_T1}
    both = select({1: unnamed, 2: replace(unnamed, images=100)})
    assert (both.chosen, set(both.passed.values())) == (None, {Why.NOT_T1})


T2_TIMES = {"sequences": frozenset({"SE"}), "repetition_ms": 5000.0, "echo_ms": 90.0}


def test_an_unnamed_stack_with_the_times_of_a_t2_is_never_read() -> None:
    t2 = Described(images=160, **T2_TIMES)  # type: ignore[arg-type]
    assert select({"only": t2}).passed == {"only": Why.NOT_T1}
    assert select({"only": replace(t2, sequences=frozenset())}).passed == {"only": Why.NOT_T1}
    flair = named("t2_flair")
    assert select({"t2": t2, "flair": flair}).chosen is None


@pytest.mark.parametrize("times", [T2_TIMES, {}])
def test_beside_a_t1_after_an_agent_no_unnamed_stack_is_read(times: dict[str, object]) -> None:
    unnamed = Described(images=160, **times)  # type: ignore[arg-type]
    found = {"post": named("T1 +C"), "unnamed": unnamed}
    selection = select(found)
    assert (selection.chosen, selection.passed) == (None, {"post": Why.AGENT, "unnamed": Why.NOT_T1})
    listed = [passed_over(found[key], why) for key, why in selection.passed.items()]
    assert isinstance(refusal(listed), ContrastEnhanced)
    assert select(found, allow_agent=True).chosen == "post"


def test_a_site_may_allow_agents_and_a_plain_series_still_comes_first() -> None:
    post = named("T1 +C")
    assert select({"post": post}, allow_agent=True).chosen == "post"
    assert select({"post": post, "plain": PLAIN}, allow_agent=True).passed == {"post": Why.AGENT}


def test_a_refusal_names_each_series() -> None:
    listed = [passed_over(named("t2_flair"), Why.OTHER), passed_over(named("x"), Why.NOT_T1)]
    error = refusal(listed)
    assert isinstance(error, BadSeries)
    assert "series 9 't2 flair' (400 images)" in error.detail
