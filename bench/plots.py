"""The two kinds of picture that the benches draw."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def bars(path: Path, rows: Mapping[str, Mapping[str, float]], *, title: str, unit: str) -> None:
    """One stacked bar a row; the parts of all rows share their colours."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.8 + 0.6 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.set_prop_cycle(color=colormaps["tab20"].colors)  # type: ignore[attr-defined]  # parts of two rows differ
    names = list(dict.fromkeys(name for parts in rows.values() for name in parts))
    start = [0.0] * len(rows)
    for name in names:
        widths = [parts.get(name, 0.0) for parts in rows.values()]
        axes.barh(list(rows), widths, left=start, label=name)
        start = [a + b for a, b in zip(start, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.set_title(title)
    figure.legend(loc="outside lower center", fontsize="small", ncols=6)
    _save(figure, path)


def lines(path: Path, rows: Mapping[str, Mapping[str, float]], *, title: str, unit: str) -> None:
    """One line a row over named points, on a logarithmic scale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, values in rows.items():
        axes.plot(list(values), list(values.values()), marker="o", label=name)
    axes.set_yscale("log")
    axes.set_ylabel(unit)
    axes.set_title(title)
    axes.legend(fontsize="small")
    axes.grid(visible=True, which="both", alpha=0.3)
    _save(figure, path)


def _save(figure: object, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)  # type: ignore[attr-defined]
