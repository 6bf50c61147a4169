"""`python -m deploy.grafana.generate`: writes the dashboards' JSON from panels.yml; a test compares them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml

PANELS = Path(__file__).with_name("panels.yml")
FOLDER = Path(__file__).with_name("dashboards")
_SOURCE = {"type": "prometheus", "uid": "prometheus"}


@cache
def panels() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Dashboard name -> its panels, as panels.yml describes them."""
    return cast("Mapping[str, Sequence[Mapping[str, Any]]]", yaml.safe_load(PANELS.read_text()))


def text(name: str) -> str:
    """One dashboard in Grafana's schema 39, as its file holds it."""
    whole = {
        "uid": f"hippocamp-{name}",
        "title": f"Hippocamp {name}",
        "tags": ["hippocamp"],
        "schemaVersion": 39,
        "refresh": "15s",
        "time": {"from": "now-3h", "to": "now"},
        "panels": list(_laid_out(panels()[name])),
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _laid_out(wanted: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Left to right on a grid of 24 columns: four numbers or two graphs a row."""
    x = y = height = 0
    for number, panel in enumerate(wanted, 1):
        width, tall = (6, 4) if panel.get("big") else (12, 8)
        if x + width > 24 or tall != height:
            x, y, height = 0, y + height, tall
        yield _panel(panel, number) | {"gridPos": {"x": x, "y": y, "w": width, "h": tall}}
        x += width


def _panel(panel: Mapping[str, Any], number: int) -> dict[str, Any]:
    targets = [
        {"refId": chr(65 + n), "expr": query, "legendFormat": legend, "datasource": _SOURCE}
        for n, (legend, query) in enumerate(panel["queries"].items())
    ]
    return {
        "id": number,
        "type": "stat" if panel.get("big") else "timeseries",
        "title": panel["title"],
        "datasource": _SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.get("unit", "short")}, "overrides": []},
    }


def main() -> None:
    """Write all of them."""
    for name in panels():
        (FOLDER / f"{name}.json").write_text(text(name))


if __name__ == "__main__":
    main()
