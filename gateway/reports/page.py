"""Drawing on the report's page: headings, lines of text, bars with intervals, rows of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from fpdf import FPDF
from PIL import Image

INK, GREY, RULE = (24, 28, 36), (104, 112, 124), (214, 219, 226)
BLUE, PALE, RED = (36, 92, 160), (223, 232, 244), (170, 32, 32)
MARGIN, WIDTH = 15.0, 180.0
"""mm of an A4 page."""


class Page:
    """One A4 page, filled from top to bottom; `y` is where the next thing goes (mm)."""

    def __init__(self, title: str) -> None:
        self.pdf: Any = FPDF(format="A4")
        self.pdf.set_auto_page_break(False)
        self.pdf.set_title(title)
        self.pdf.set_lang("en")
        self.pdf.add_page()
        self.y = 12.0

    def text(
        self, text: str, *, size: float = 9, style: str = "", colour: tuple[int, int, int] = INK
    ) -> None:  # fmt: skip
        """A paragraph over the whole width."""
        self.pdf.set_font("Helvetica", style, size)
        self.pdf.set_text_color(*colour)
        self.pdf.set_xy(MARGIN, self.y)
        self.pdf.multi_cell(WIDTH, size * 0.46, printable(text), align="L")
        self.y = self.pdf.get_y()

    def heading(self, text: str) -> None:
        """A section's name over a thin rule."""
        self.y += 2.4
        self.text(text, size=10.5, style="B", colour=BLUE)
        self.pdf.set_draw_color(*RULE)
        self.pdf.line(MARGIN, self.y + 0.6, MARGIN + WIDTH, self.y + 0.6)
        self.y += 1.8

    def banner(self, text: str) -> None:
        """White on red, over the whole width."""
        self.pdf.set_fill_color(*RED)
        self.pdf.rect(MARGIN, self.y, WIDTH, 7, style="F")
        self.pdf.set_font("Helvetica", "B", 10)
        self.pdf.set_text_color(255, 255, 255)
        self.pdf.set_xy(MARGIN, self.y)
        self.pdf.cell(WIDTH, 7, printable(text), align="C")
        self.y += 9.5

    def bar(self, label: str, share: float, low: float, high: float) -> None:
        """A probability as a bar, its interval as a whisker, both as text."""
        left, width, pdf = MARGIN + 46, 84.0, self.pdf
        pdf.set_fill_color(*PALE)
        pdf.rect(left, self.y + 0.6, width, 4.4, style="F")
        pdf.set_fill_color(*BLUE)
        pdf.rect(left, self.y + 0.6, width * share, 4.4, style="F")
        pdf.set_draw_color(*INK)
        pdf.set_line_width(0.5)
        pdf.line(left + width * low, self.y + 2.8, left + width * high, self.y + 2.8)
        for end in (low, high):
            pdf.line(left + width * end, self.y + 1.5, left + width * end, self.y + 4.1)
        pdf.set_line_width(0.2)
        self._at(MARGIN, label)
        self._at(left + width + 3, f"{share:.1%}   ({low:.1%} to {high:.1%})")
        self.y += 6.4

    def _at(self, x: float, text: str) -> None:
        self.pdf.set_font("Helvetica", "", 9)
        self.pdf.set_text_color(*INK)
        self.pdf.set_xy(x, self.y + 0.5)
        self.pdf.cell(60, 4.6, printable(text))

    def pictures(
        self, rows: Sequence[Sequence[npt.NDArray[np.uint8]]], *, alt: str, share: float = 1.0
    ) -> None:
        """Pictures side by side, each (h, w[, 3]) uint8, as one image over that share of the width."""
        colour = [[_rgb(picture) for picture in row] for row in rows]
        whole = np.concatenate([np.concatenate(row, axis=1) for row in colour], axis=0)
        width = WIDTH * share
        height = width * whole.shape[0] / whole.shape[1]
        self.pdf.image(Image.fromarray(whole), MARGIN, self.y, width, height, alt_text=alt)
        self.y += height + 1.5

    def table(self, rows: Sequence[tuple[str, str]], *, columns: int) -> None:
        """Names and values in several columns, read down."""
        width = WIDTH / columns
        deep = -(-len(rows) // columns)
        for n, (name, value) in enumerate(rows):
            x, y = MARGIN + width * (n // deep), self.y + 4.1 * (n % deep)
            self.pdf.set_font("Helvetica", "", 8)
            self.pdf.set_xy(x, y)
            self.pdf.set_text_color(*GREY)
            self.pdf.cell(width * 0.62, 4.1, printable(name))
            self.pdf.set_text_color(*INK)
            self.pdf.cell(width * 0.36, 4.1, printable(value))
        self.y += 4.1 * deep

    def row(self, name: str, value: str) -> None:
        """A name and a value that may be as long as a digest."""
        self.pdf.set_font("Helvetica", "", 8)
        for x, colour, text in ((MARGIN, GREY, name), (MARGIN + 42, INK, value)):
            self.pdf.set_xy(x, self.y)
            self.pdf.set_text_color(*colour)
            self.pdf.cell(WIDTH - 42, 4.1, printable(text))
        self.y += 4.1


def printable(text: str) -> str:
    """The text in the characters that the PDF core fonts have (Latin-1)."""
    return text.encode("latin-1", "replace").decode("latin-1")


def _rgb(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
