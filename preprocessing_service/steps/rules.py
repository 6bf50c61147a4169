"""The rules of the quality gate: each measure's range, what was seen beyond it, and what to send instead.

`python -m bench.gate` derives every threshold from real and drawn heads (docs/explanation/preprocessing.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from contracts.errors import Coverage, Noise, NotAHead, NotT1w, QualityRefused, RegistrationFailed

SEND_T1 = "Send the T1-weighted (MPRAGE/SPGR/BRAVO) series"
SEND_WHOLE = "Send a T1-weighted series of the whole head, upright and complete"
SEND_FINE = "Send the 3-D T1-weighted series, or one of slices of 6 mm or less, of the whole brain"
SEND_CLEAN = "Send a T1-weighted series with less noise, or repeat the scan"


@dataclass(frozen=True)
class Rule:
    """One measure, the range it must lie in, and the refusal when it does not.

    meaning: what was seen. advice: what to do next.
    """

    measure: str
    least: float
    most: float
    refusal: type[QualityRefused]
    meaning: str
    advice: str = SEND_T1


LEAST_OVERLAP, BRAINLIKE = 0.84, 0.68
"""Dice of brain and template: half heads, spheres and noise reach 0.83. From BRAINLIKE on it may be a brain
of another contrast, of which the wrong part was taken for brain."""

LEAST_MIRROR = 0.92
LEAST_RATIO, SURE_RATIO = 1.095, 1.125
"""White over grey matter. Between the two an answer is given, and marked uncertain."""

MOST_RATIO = 2.1
MOST_FLUID = 0.65
BRIGHT_VENTRICLES, MOST_VENTRICLES = 1.2, 0.81
"""Over white matter: from the first on it is T2; the most in T1, where narrow ventricles are half tissue."""

RULES = (
    Rule("brain_ml", 500, 4000, NotAHead, "The brain that was found has {value:.0f} ml", SEND_WHOLE),
    Rule(
        "same_neighbours",
        0.0,
        0.5,
        NotT1w,
        "This looks like a label map or a mask: {value:.0%} of neighbouring voxels hold the same value",
    ),
    Rule(
        "rim_of_misfit",
        0.0,
        0.75,
        NotT1w,
        "This looks like a T2-weighted, proton density or echo-planar image: no brain's shape fits, and the "
        "rim of what was found is {value:.2f} times as bright as its middle",
    ),
    Rule(
        "overlap",
        LEAST_OVERLAP,
        1.0,
        NotAHead,
        "What was found matches a brain's shape by {value:.2f} only",
        SEND_WHOLE,
    ),
    Rule(
        "mirror_overlap",
        LEAST_MIRROR,
        1.0,
        RegistrationFailed,
        "The two halves of the brain match each other by {value:.2f} only: a part is missing or misplaced",
        SEND_WHOLE,
    ),
    Rule(
        "size_ratio",
        0.35,
        2.1,
        RegistrationFailed,
        "The brain is {value:.2f} times the template's size",
        SEND_WHOLE,
    ),
    Rule(
        "white_dark_ratio",
        0.0,
        MOST_RATIO,
        NotT1w,
        "This looks like a computed map, such as anisotropy: white matter is {value:.1f} times as bright as "
        "grey matter",
    ),
    Rule(
        "ventricle_white_ratio",
        0.0,
        BRIGHT_VENTRICLES,
        NotT1w,
        "This looks like a T2-weighted image: the ventricles are {value:.2f} times as bright as white matter",
    ),
    Rule(
        "fluid_white_ratio",
        0.0,
        MOST_FLUID,
        NotT1w,
        "This looks like a proton density, echo-planar or CT image, or like a part of a brain: fluid is "
        "hardly darker than white matter ({value:.2f} times as bright)",
    ),
    Rule(
        "ventricle_white_ratio",
        0.0,
        MOST_VENTRICLES,
        NotT1w,
        "This looks like a proton density, echo-planar or CT image: the ventricles are not dark, but "
        "{value:.2f} times as bright as white matter",
    ),
    Rule(
        "white_grey_ratio",
        LEAST_RATIO,
        9.0,
        NotT1w,
        "This looks like a FLAIR image, or a diffusion or PET image: fluid is dark, but white matter is only "
        "{value:.2f} times as bright as grey matter",
    ),
    Rule(
        "voxel_mm3",
        0.0,
        30,
        Coverage,
        "A voxel holds {value:.0f} mm³, more than the slices can show",
        SEND_FINE,
    ),
    Rule(
        "slab_covered", 0.98, 1.0, Coverage, "{value:.0%} of the model's field lies in the image", SEND_FINE
    ),
    Rule(
        "noise",
        0.0,
        0.6,
        Noise,
        "Noise is {value:.2f} of the contrast between grey and white matter",
        SEND_CLEAN,
    ),
)
"""Applied in this order; the first that fails is reported.

None measures what atrophy changes: the overlaps see the outer surface, the ratios neighbouring tissues.
`rim_of_misfit` is the brightness of the rim of brains that overlap too little, else 0: it tells why nothing
fits.
"""


def judge(figures: dict[str, float]) -> None:
    """Raise the first rule's refusal that the figures break; a figure that is NaN breaks its rule."""
    rule = broken(figures)
    if rule is not None:
        meaning = rule.meaning.format(value=figures[rule.measure])
        accepted = f"{rule.least:g} to {rule.most:g} is accepted"
        raise rule.refusal(f"{meaning} ({accepted}). {rule.advice}.", **figures)


def broken(figures: dict[str, float]) -> Rule | None:
    """The first rule that the figures break."""
    for rule in RULES:
        if not rule.least <= figures[rule.measure] <= rule.most:
            return rule
    return None
