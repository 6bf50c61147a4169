"""The quality sheet of one job: both outlines, the 32 slices, every figure of the gate, and its verdict."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from preprocessing_service.pictures import (
    OUTLINE,
    Grey,
    below,
    beside,
    brain_picture,
    slices_picture,
    template_picture,
)
from preprocessing_service.png import to_png
from preprocessing_service.steps.quality import Prepared
from preprocessing_service.steps.rules import RULES, broken
from preprocessing_service.template import Template

LEGEND = "Left: the brain that was found, on the head. Right: the template on the brain. Below: the slices."
COLUMNS = 4
LINE = 16
PALE = 200
SEPARATOR = 28
"""Pixels between the two pictures of outlines."""


def quality_sheet(head: Prepared, template: Template, figures: dict[str, float]) -> bytes:
    """One page a job, as PNG; amber is what was found, and what the gate refuses."""
    gap = np.zeros((1, SEPARATOR), np.uint8)
    outlines = beside([brain_picture(head), gap, template_picture(head, template)])
    pictures = below([outlines, slices_picture(head.slices)])
    return to_png(below([pictures, _words(figures, pictures.shape[1])]))


def _words(figures: dict[str, float], width: int) -> Grey:
    refused = broken(figures)
    names = {rule.measure: f"({rule.least:g} to {rule.most:g})" for rule in RULES}
    lines = [f"{name} {value:g} {names.get(name, '')}" for name, value in figures.items()]
    page = Image.new("L", (width, LINE * (2 + -(-len(lines) // COLUMNS))))
    draw = ImageDraw.Draw(page)
    verdict = f"refused: {refused.refusal.code}" if refused else "accepted"
    draw.text((4, 0), f"{verdict}.  {LEGEND}", fill=PALE)
    for number, (name, line) in enumerate(zip(figures, lines, strict=True)):
        fails = refused is not None and name == refused.measure
        draw.fontmode = "1" if fails else "L"  # smooth edges would be greys, not the outline's index
        place = (4 + number % COLUMNS * width // COLUMNS, LINE * (1 + number // COLUMNS))
        draw.text(place, line, fill=OUTLINE if fails else PALE)
    return np.asarray(page)
