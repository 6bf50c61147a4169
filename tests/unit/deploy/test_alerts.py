"""Every alert has a runbook section, and a case in which it fires."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
RULES = ROOT / "deploy" / "prometheus"
TESTS = sorted(RULES.glob("*_test.yml"))


def alerts() -> list[dict[str, dict[str, str]]]:
    groups = yaml.safe_load((RULES / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def names() -> list[str]:
    return [str(rule["alert"]) for rule in alerts()]


def test_every_alert_has_a_runbook_section_and_no_section_is_left_over() -> None:
    book = (ROOT / "docs" / "how-to" / "respond-to-alerts.md").read_text().partition("## Runbook")[2]
    sections = [line[4:].strip() for line in book.splitlines() if line.startswith("### ")]
    assert sorted(sections) == sorted(names())


@pytest.mark.parametrize("rule", alerts(), ids=names())
def test_an_alert_says_how_bad_it_is_and_where_to_read_on(rule: dict[str, dict[str, str]]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["runbook"] == f"docs/how-to/respond-to-alerts.md#{str(rule['alert']).lower()}"
    assert len(rule["annotations"]["summary"]) > 20


@pytest.mark.parametrize("name", names())
def test_an_alert_has_a_case_in_which_it_fires(name: str) -> None:
    assert any(f'alertname="{name}"' in file.read_text() for file in TESTS)
