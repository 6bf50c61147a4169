"""The words by which series are called: what may stay of a description, and what it says about the series."""

from __future__ import annotations

import re

_ALONE = r"(?<![a-z0-9])(?:{})(?![a-z0-9])"
_SPOKEN = r"(?:contrast|kontrast\w*|gado\w*|gad|gd|km|ce|\+ ?c|c\+)"

WITHOUT_AGENT = rf"(?<![a-z])(?:with[ _-]?out|w/?o|non?|ohne|sans|pre|vor)[ _-]*{_SPOKEN}(?![a-z])"
"""Says that no contrast agent was given."""

WITH_AGENT = (
    r"contrast|kontrast|gado|gad\b|post(?!erior|[ _-]?op)|(?<![a-z0-9])\+ ?c(?![a-z])"
    rf"|(?<![a-z0-9])(?:t1)?c\+|(?<=[a-z0-9])\+c(?![a-z])|{_ALONE.format('(?:t1w?)?(?:gad|gd|km|ce)|t1w?c')}"
)
"""Says that one was given."""

T1_WORDS = r"mp2rage|mp-?rage|(?<![a-rt-z0-9])t1|f?spgr|bravo|tfl|ir-?fse_?3d|3d_?tfe|ir_?gre"
LOCALIZER_WORDS = rf"locali[sz]er|scout|survey|{_ALONE.format('local|loc|3-?pl')}"
INVERSION_WORDS = _ALONE.format("inv[ _-]?[12]")
SUBTRACTION_WORDS = rf"subtr\w*|{_ALONE.format('sub(?![-_]?[0-9])')}"
PART_WORDS = _ALONE.format("phase|pha|imag|imaginary")
DERIVED_WORDS = _ALONE.format("mpr|mip|reformat|reformatted|resampled|mask|seg|dseg|aseg|label|labels")
OTHER_WORDS = (
    r"t1[ _-]?(?:map|images)|(?<![a-rt-z0-9])t2|flair|diff(?![a-z])|diffusion|bold|fmri"
    r"|perf(?![a-z])|perfusion"
    rf"|{_ALONE.format('dwi|dti|adc|tracew?|asl|pcasl|swi|tof|mra|pd|spine|pet|ct')}"
)
_HARMLESS = _ALONE.format("uni|den|norm")

_WORDS = re.compile(
    "|".join((
        WITHOUT_AGENT, OTHER_WORDS, WITH_AGENT, T1_WORDS, LOCALIZER_WORDS, INVERSION_WORDS,
        SUBTRACTION_WORDS, PART_WORDS,
        DERIVED_WORDS, _HARMLESS,
    )),
    re.IGNORECASE,
)  # fmt: skip
"""Every other part of a description may be a name."""


def descriptor(text: str) -> str:
    """The words of a series' description that say how it was made, without anything else."""
    return " ".join(dict.fromkeys(found.lower() for found in _WORDS.findall(text)))
