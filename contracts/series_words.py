"""The words by which series are called: what may stay of a description, and what it says about the series."""

from __future__ import annotations

import re

_ALONE = r"(?<![a-z0-9])(?:{})(?![a-z0-9])"
_GADOLINIUM = (
    r"gad(?:o(?:linium|vist|teridol|butrol|pentetate?|terate?|diamide?|benate?|xetate?|xetic|versetamide?"
    r"|piclenol)?|avist)"
)
_BRANDS = (
    r"dotarem|multihance|prohance|magnevist|omniscan|optimark|clariscan|primovist|eovist|ablavar|vasovist"
    r"|elucirem|vueway"
)
_ENHANCED = r"enhanc(?:ed|ement)"
_CONTRAST = rf"(?:contrast[eo]?|kontrast(?:mittel)?)(?:[ _-]?{_ENHANCED})?"
_INJECTED = r"inject(?:ion|ee|ed|e)?"
_SUBSTANCE = rf"{_CONTRAST}|{_GADOLINIUM}|{_BRANDS}|{_ENHANCED}|{_INJECTED}"
_SHORT = r"gad|gd|km|k\.m|ce|mdc"
_SPOKEN = rf"(?:(?:i\.?v\.?[ _-]|medio de |mezzo di )?(?:{_SUBSTANCE}|{_SHORT}|\+ ?c|c\+))"
_NEGATIONS = (
    r"with[ _-]?out|w/?o|non?|o\.?|ohne|sans|sin|sem|senza|zonder|uten|utan|uden|bez|s/|pre|vor|before|avant"
    r"|antes|prima"
)

_NOT_BOTH = "".join(
    rf"(?<!{before})"
    for before in ("with[ _]and[ _]", "with/", "mit[ _]und[ _]", "avec et ", "con [ye] ", "w[/&+]", "w [&+] ")
)
"""With and without is with: two series, or one made of both."""

WITHOUT_AGENT = rf"(?<![a-z]){_NOT_BOTH}(?:(?:{_NEGATIONS})[ _-]{{0,3}}{_SPOKEN}|unenhanced|smdc)(?![a-z])"
"""Says that no contrast agent was given."""

WITH_AGENT = (
    rf"contrast|kontrast|gado|gadavist|{_BRANDS}|{_ENHANCED}|inject|gad(?![a-z])"
    r"|post(?!erior|[ _-]?(?:op|proc))|(?<![a-z0-9])\+ ?c(?![a-z])"
    rf"|(?<![a-z0-9])(?:t1)?c\+|(?<=[a-z0-9])\+c(?![a-z])|{_ALONE.format(f'(?:t1w?)?(?:{_SHORT})|t1w?c|inj')}"
)
"""Says that one was given. No pattern here is open-ended: what it matches stays in descriptions, and may be
no name."""

T1_WORDS = r"mp2rage|mp-?rage|(?<![a-rt-z0-9])t1(?:[ _-]?flair)?|f?spgr|bravo|tfl|ir-?fse_?3d|3d_?tfe|ir_?gre"
LOCALIZER_WORDS = rf"locali[sz]er|scout|survey|{_ALONE.format('local|loc|3-?pl')}"
INVERSION_WORDS = _ALONE.format("inv[ _-]?[12]")
SUBTRACTION_WORDS = rf"subtr(?:action|aktion|acted|ahiert)?|{_ALONE.format('sub(?![-_]?[0-9])')}"
PART_WORDS = _ALONE.format("phase|pha|imag|imaginary")
DERIVED_WORDS = _ALONE.format("mpr|mip|reformat|reformatted|resampled|mask|seg|dseg|aseg|label|labels")
_WEIGHTED = r"swi|swan|qsm|ciss|fiesta|trufi(?:sp)?|true?[ _-]?fisp|b-?ffe|b-?tfe|b?ssfp"
OTHER_WORDS = (
    r"t1[ _-]?(?:map|images)|(?<![a-rt-z0-9])t2|(?<!t1)(?<!t1[ _-])flair|diff(?![a-z])|diffusion|bold|fmri"
    r"|perf(?![a-z])|perfusion"
    rf"|{_ALONE.format('dwi|dti|adc|tracew?|asl|pcasl|tof|mra|pd|spine|pet|ct')}"
    rf"|{_ALONE.format(f'(?:{_WEIGHTED})(?:[ _-]?3d)?|b[01](?:[ _-]?map)?|mt(?:[ _-]?(?:on|off))?')}"
    r"|field[ _-]?map"
)
_KNOWN = "|".join((
    T1_WORDS, OTHER_WORDS, LOCALIZER_WORDS, INVERSION_WORDS, SUBTRACTION_WORDS, PART_WORDS,
))  # fmt: skip
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


def label_of(description: str, *others: str) -> str:
    """The words of a series: of its description, where that has any; else of the first of `others` that has.

    others: names of the protocol and the sequence. The protocol is often that of the whole visit ("BRAIN
    WITHOUT AND WITH CONTRAST"), so beside a description only what it says of T1 counts.
    """
    own = descriptor(description)
    if not own:
        return label_of(*others) if others else ""
    if re.search(_KNOWN, own, re.IGNORECASE):
        return own
    t1 = re.search(T1_WORDS, descriptor(" ".join(others)), re.IGNORECASE)
    return f"{own} {t1.group()}" if t1 else own
