"""Which volume of an archive is the T1, by the names of its files, and whether all are of one visit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from contracts.errors import SeveralStudies
from contracts.series_read import SeriesRead
from contracts.series_words import descriptor
from imaging.described import Described
from imaging.limits import LEAST_SLICES
from imaging.series import Selection, Why, passed_over, refusal, select, with_agent

_ENTITY = re.compile(r"(?:^|[/_])((?:sub|ses)-[^_/]+?)(?=_|/|\.zip/|\.(?:nii|mgh|mgz)$|$)")
"""The whole label: of ASCII letters and digits alone, two surnames with an umlaut can be the same M."""

_MAY_BE_T1 = {Why.ANOTHER, Why.DERIVED, Why.AGENT}


def choose(names: Sequence[str]) -> tuple[int, SeriesRead | None]:
    """The place of the only volume, or of the T1 among several: BIDS calls it `sub-01_ses-02_t1w.nii`.

    names: paths in lower case, that of an archive inside the archive before them. One taken with an agent is
    chosen when no plain one is there: whoever reads it knows whether the site allows that. SeveralStudies,
    BadSeries.
    """
    if len(names) == 1:
        return 0, series_alone(names[0])
    described = {n: _described(one) for n, one in enumerate(names)}
    selection = select(described, strict=True)
    if selection.chosen is None:
        selection = select(described, strict=True, allow_agent=True)
    listed = [passed_over(described[n], why) for n, why in selection.passed.items()]
    if selection.chosen is None:
        raise refusal(listed)
    _check_owner(names, [n for n, one in described.items() if _may_be_t1(n, one, selection)])
    one = described[selection.chosen]
    return selection.chosen, SeriesRead(
        description=one.words,
        candidates=selection.candidates,
        agent=with_agent(one),
        passed_over=tuple(listed),
    )


def series_alone(name: str) -> SeriesRead | None:
    """What the name of the only volume says that its reader must know: that an agent was given."""
    one = _described(name)
    return SeriesRead(description=one.words, agent=True) if with_agent(one) else None


def _described(name: str) -> Described:
    plain = re.sub(r"(?:sub|ses|run|task)-[^\W_]+", "", PurePosixPath(name).name)
    return Described(words=descriptor(plain), images=LEAST_SLICES)


def _may_be_t1(place: int, one: Described, selection: Selection[int]) -> bool:
    """One whose name says nothing may be the T1 of somebody else."""
    return one.words == "" or selection.passed.get(place, Why.ANOTHER) in _MAY_BE_T1


def _check_owner(names: Sequence[str], candidates: Sequence[int]) -> None:
    """Several T1 volumes are of one visit only where every name says so; a surname proves nothing."""
    everyone = {found for name in names for found in _entities(name, "sub")}
    visits = {frozenset(_entities(names[n], "ses")) for n in candidates}
    known = len(candidates) == 1 or all(_entities(names[n], "sub") for n in candidates)
    if len(everyone) <= 1 and known and len(visits) == 1 and all(len(one) <= 1 for one in visits):
        return
    patients = max(len(everyone), 1) if known else len(candidates)
    raise SeveralStudies(
        f"The archive holds {len(candidates)} volumes that may be T1, and their names do not say that "
        "all are of one visit of one person (sub-01_ses-01_T1w.nii: the same sub and ses in every name). "
        "Send each scan as an upload of its own",
        patients=patients,
        studies=max(patients, len(visits)),
    )


def _entities(name: str, kind: str) -> set[str]:
    return {found for found in _ENTITY.findall(name) if found.startswith(kind)}
