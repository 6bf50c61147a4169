"""The model card: card.json in the release is the one source, CARD.md is made from it.

`python -m model_store.release.card [--figures REPORT/figures.json] [--release FOLDER]` after a change of the
card or a new evaluation (`python -m model_store.evaluate --out REPORT`); the manifest is sealed anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contracts.model_card import Figure, ModelCard
from model_store.release.digest import MANIFEST, RELEASE, model_digest
from model_store.served.shapes import CARD

MARKDOWN = "CARD.md"
_AUC = "AUC, CDR > 0 against 0"
_OLD = "age >= 60"
_OTHERS = {
    "balanced_accuracy": "balanced accuracy, three stages",
    "kappa": "quadratic kappa, three stages",
    "calibration_error": "expected calibration error",
}
_RIVALS = ("MMSE alone", "nWBV alone")


def read_card(release: Path = RELEASE) -> ModelCard:
    """The release's card; FileNotFoundError, pydantic's ValidationError."""
    return ModelCard.model_validate_json((release / CARD).read_text())


def write_card(card: ModelCard, release: Path = RELEASE) -> None:
    """Both forms of the card, into the release; it is to be sealed anew after it."""
    data = card.model_dump(mode="json", exclude_defaults=True)
    (release / CARD).write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    (release / MARKDOWN).write_text(card.to_markdown())


def with_figures(card: ModelCard, found: Mapping[str, Any]) -> ModelCard:
    """The card with the figures of an evaluation (its figures.json) in place of those it had."""
    groups, rivals = found["auc"], found["rivals"]
    old = groups[_OLD]["subjects"]

    def figure(name: str, value: Mapping[str, float], **where: Any) -> Figure:
        ends = {end: round(float(value[end]), 3) for end in ("value", "low", "high")}
        return Figure.model_validate({"name": name, "cohort": _OLD, "subjects": old, **ends, **where})

    figures = [
        *(figure(_AUC, one, cohort=name, subjects=one["subjects"]) for name, one in groups.items()),
        *(figure(name, found[key]) for key, name in _OTHERS.items()),
        figure(_AUC, rivals["images + covariates"], answer="images and covariates"),
        *(figure(f"{_AUC}, {name}", rivals[name], answer="comparison") for name in _RIVALS),
    ]
    return card.model_copy(update={"figures": figures})


def main() -> None:
    """Parse the command line."""
    from model_store.release.build import seal

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", type=Path, help="figures.json of an evaluation of this release")
    parser.add_argument("--release", type=Path, default=RELEASE)
    chosen = parser.parse_args()
    card = read_card(chosen.release)
    if chosen.figures:
        card = with_figures(card, json.loads(chosen.figures.read_text()))
    write_card(card, chosen.release)
    about = json.loads((chosen.release / MANIFEST).read_text())
    seal(chosen.release, {name: value for name, value in about.items() if name != "files"})
    sys.stdout.write(f"{chosen.release / MARKDOWN} {model_digest(chosen.release)}\n")


if __name__ == "__main__":
    main()
