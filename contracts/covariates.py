"""What a sender may tell of a person beside the image; each part may be missing."""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Known = Literal["age", "sex", "education", "mmse"]
NAMES: tuple[Known, ...] = ("age", "sex", "education", "mmse")

_Age = Field(default=None, ge=18, le=120, allow_inf_nan=False, description="Years at the time of the scan")
_Education = Field(
    default=None, ge=1, le=5,
    description="Level as OASIS counts: 1 below high school, 2 high school, 3 some college, 4 degree, 5 more",
)  # fmt: skip
_Mmse = Field(default=None, ge=0, le=30, description="Points of the Mini-Mental State Examination")


class Covariates(BaseModel):
    """Age, sex, education and MMSE as far as they are known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    age: float | None = _Age
    sex: Literal["F", "M"] | None = Field(default=None, description="As the model was trained: F or M")
    education: int | None = _Education
    mmse: int | None = _Mmse

    @classmethod
    def of(cls, text: str) -> Covariates:
        """From a record's field; "" knows nothing."""
        return cls.model_validate_json(text) if text else cls()

    def to_text(self) -> str:
        """As a record keeps them, "" when nothing is known; equal ones give the same text."""
        return self.model_dump_json(include=set[str](self.given), exclude_none=True) if self.given else ""

    @property
    def given(self) -> list[Known]:
        """Names of those that are known."""
        return [name for name in NAMES if getattr(self, name) is not None]

    def row(self) -> list[float]:
        """As the model takes them: MMSE, age, 1 for men, education; NaN where nothing is known."""
        men = None if self.sex is None else float(self.sex == "M")
        parts = (self.mmse, self.age, men, self.education)
        return [float("nan") if part is None else float(part) for part in parts]


def told_apart(content: str, covariates: str) -> str:
    """What covariates add to a cache key, "" without any; it does not show them, and depends on the bytes."""
    return hashlib.sha256(f"{content}\0{covariates}".encode()).hexdigest()[:32] if covariates else ""
