"""The dashboards' files are what generate.py writes from panels.yml."""

from __future__ import annotations

import json
from itertools import combinations

import pytest

from deploy.grafana.generate import FOLDER, panels, text


@pytest.mark.parametrize("name", panels())
def test_the_file_is_up_to_date(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text() == text(name), "run python -m deploy.grafana.generate"


@pytest.mark.parametrize("name", panels())
def test_no_two_panels_overlap(name: str) -> None:
    places = [panel["gridPos"] for panel in json.loads(text(name))["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for a, b in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        below = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or below


def test_there_is_a_dashboard_for_each_question() -> None:
    assert set(panels()) == {"overview", "sites", "stages", "model"}
