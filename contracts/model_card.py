"""What a model is for, what it was measured on and where it fails: one card, as data and as Markdown.

The release holds it as card.json, the archive carries it, its server tells it, and the gateway shows it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Cohort(_Part):
    """The subjects behind one set of figures."""

    name: str
    subjects: int = Field(ge=1)
    stages: dict[str, int] = Field(default={}, description="CDR group -> subjects")
    about: str = ""


class Figure(_Part):
    """One measured figure with its interval."""

    name: str = Field(examples=["AUC, CDR > 0 against 0"])
    cohort: str = Field(examples=["age >= 60"])
    answer: Literal["images", "images and covariates", "comparison"] = "images"
    subjects: int = Field(ge=1)
    value: float
    low: float | None = Field(default=None, description="Lower end of the interval; null when there is none")
    high: float | None = None

    @property
    def text(self) -> str:
        """The value, and its interval in brackets."""
        span = "" if self.low is None or self.high is None else f" [{self.low:.3f}, {self.high:.3f}]"
        return f"{self.value:.3f}{span}"


class ModelCard(_Part):
    """Mitchell et al. 2019, "Model Cards for Model Reporting", as far as it applies."""

    title: str
    notice: str
    what: list[str] = Field(description="What goes in, what comes out, and how")
    intended_use: list[str]
    not_for: list[str] = Field(description="Uses it was not made for")
    data: list[str] = Field(description="What it learned from")
    cohorts: list[Cohort]
    method: list[str] = Field(description="How the figures were measured, and what makes them optimistic")
    figures: list[Figure]
    failures: list[str]
    confounds: list[str]
    references: list[str]

    def to_markdown(self) -> str:
        """For people; the same card gives the same text."""
        cohorts = [f"{one.name}: {one.subjects} subjects{_stages(one)}{_about(one)}" for one in self.cohorts]
        parts = [
            f"# {self.title}", f"> {self.notice}", _section("What it does", self.what),
            _section("Intended use", self.intended_use), _section("Not for", self.not_for),
            _section("Data", [*self.data, *cohorts]), "## Measured", "\n\n".join(self.method), self._table(),
            _section("Where it fails", self.failures), _section("Confounds", self.confounds),
            _section("References", self.references),
        ]  # fmt: skip
        return "\n\n".join(parts) + "\n"

    def _table(self) -> str:
        rows = [
            f"| {one.answer} | {one.name} | {one.cohort} | {one.subjects} | {one.text} |"
            for one in self.figures
        ]
        return "\n".join(
            ["| answer | figure | cohort | subjects | value [95 %] |", "|---|---|---|---|---|", *rows]
        )


def read_card(text: str) -> ModelCard | None:
    """What `model_dump_json` wrote; None for anything else, such as "" or an older release's Markdown."""
    try:
        return ModelCard.model_validate_json(text)
    except ValidationError:
        return None


def _section(title: str, points: list[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {point}" for point in points)


def _stages(cohort: Cohort) -> str:
    counts = ", ".join(f"{count} CDR {cdr}" for cdr, count in cohort.stages.items())
    return f" ({counts})" if counts else ""


def _about(cohort: Cohort) -> str:
    return f"; {cohort.about}" if cohort.about else ""
