"""What may be kept of the person in a DICOM header; known to those too who never open one."""

from __future__ import annotations

from dataclasses import dataclass


def asked_for(keep: str) -> frozenset[str]:
    """The parts of a person that a sender asks to have kept: "age,sex" -> {"age", "sex"}."""
    return frozenset(filter(None, keep.split(",")))


@dataclass(frozen=True)
class Patient:
    """What may be kept of a person when the sender asks for it. age_years 0, sex "": not known."""

    age_years: int = 0
    sex: str = ""

    def only(self, asked: frozenset[str]) -> Patient:
        """The part that was asked for, by the names `age` and `sex`."""
        return Patient(self.age_years if "age" in asked else 0, self.sex if "sex" in asked else "")
