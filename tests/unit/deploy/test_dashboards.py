"""The dashboards' files are what generate.py writes from panels.yml, and what Grafana's own library reads."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.cog.runtime import Runtime
from grafana_foundation_sdk.models.dashboard import Dashboard

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


def lost(ours: Any, theirs: Any, at: str = "") -> list[str]:
    """Places of ours that are not in theirs as they stand."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        inside = [lost(part, theirs.get(key), f"{at}.{key}") for key, part in ours.items()]
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        inside = [
            lost(one, other, f"{at}[{n}]") for n, (one, other) in enumerate(zip(ours, theirs, strict=True))
        ]
    else:
        return [] if ours == theirs else [at]
    return [place for places in inside for place in places]


def read_by_grafana(dashboard: dict[str, Any]) -> Any:
    """What is left of a dashboard after Grafana's types have read and written it: only what they know."""
    return json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))


@pytest.mark.parametrize("name", panels())
def test_grafanas_own_types_know_every_field(name: str) -> None:
    register_default_plugins()
    dashboard = json.loads(text(name))
    assert lost(dashboard, read_by_grafana(dashboard)) == []
    kinds = {panel["type"] for panel in dashboard["panels"]}
    assert {kind for kind in kinds if Runtime().panelcfg_config(kind) is None} == set()


def test_a_misspelt_field_is_found() -> None:
    register_default_plugins()
    dashboard = json.loads(text("model"))
    dashboard["panels"][0]["targets"][0]["exprr"] = "up"
    assert lost(dashboard, read_by_grafana(dashboard)) == [".panels[0].targets[0].exprr"]
