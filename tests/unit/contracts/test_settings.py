"""Environment readers refuse nonsense and name the variable."""

from __future__ import annotations

import pytest

from contracts.settings import SettingError, env_count, env_flag, env_number, env_text


def test_defaults_hold_when_nothing_is_set() -> None:
    assert env_count("NO_SUCH_THING", 3) == 3
    assert env_flag("NO_SUCH_THING", default=True) is True


@pytest.mark.parametrize("value", ["", "three", "nan", "-1", "2.5", "1e400"])
def test_a_count_refuses_what_is_no_count(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HIPPOCAMP_THING", value)
    with pytest.raises(SettingError, match="HIPPOCAMP_THING"):
        env_count("THING", 1)


def test_bounds_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIPPOCAMP_THING", "70000")
    with pytest.raises(SettingError, match="between 1 and 65535"):
        env_number("THING", 1, least=1, most=65535)


def test_a_flag_is_yes_or_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIPPOCAMP_THING", "maybe")
    with pytest.raises(SettingError):
        env_flag("THING", default=False)


def test_a_needed_text_must_be_there() -> None:
    with pytest.raises(SettingError, match="HIPPOCAMP_NO_SUCH_THING"):
        env_text("NO_SUCH_THING")
