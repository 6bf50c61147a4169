"""Environment readers refuse nonsense and name the variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.settings import SettingError, Shared, env_count, env_flag, env_folder, env_number, env_text


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


@pytest.mark.parametrize(
    "url",
    [
        "foo",
        "http://redis:6379",
        "redis://",
        "redis://h:99999999/0",
        "redis://h:0",
        "sentinel:///x",
        "rediss:/h",
    ],
)
def test_an_address_that_is_none_of_redis_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("HIPPOCAMP_REDIS_URL", url.replace("://", "://:secret@", 1))
    with pytest.raises(SettingError, match="HIPPOCAMP_REDIS_URL") as refused:
        Shared()
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "rediss://u:p@h:1/0?ssl_ca_certs=/a",
        "unix:///run/redis.sock",
        "sentinel://a:1,b:2,c:3/x/0",
    ],
)
def test_every_kind_of_address_of_redis_is_taken(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HIPPOCAMP_REDIS_URL", url)
    assert Shared().redis_url == url


@pytest.mark.parametrize("place", ["ftpp://x", ""])
def test_a_store_that_nobody_knows_is_refused(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setenv("HIPPOCAMP_BLOBS", place)
    with pytest.raises(SettingError, match="HIPPOCAMP_BLOBS"):
        Shared()


def test_a_folder_must_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HIPPOCAMP_SCRATCH", str(tmp_path / "none"))
    with pytest.raises(SettingError, match="HIPPOCAMP_SCRATCH"):
        env_folder("SCRATCH", "/tmp")
