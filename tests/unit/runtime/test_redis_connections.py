"""Addresses of Redis: plain ones pass through, sentinels' are taken apart, nonsense stops the start."""

from __future__ import annotations

import pytest

from runtime.redis_connections import Watched, broker, connect
from runtime.settings import SettingError


def test_an_address_of_sentinels_is_taken_apart() -> None:
    found = Watched.parse("sentinel://me:p%40ss@one:26379,two,three:5/hippocamp/2")
    assert found.sentinels == (("one", 26379), ("two", 26379), ("three", 5))
    assert (found.master, found.database) == ("hippocamp", 2)
    assert found.access == {"username": "me", "password": "p@ss"}
    assert Watched.parse("sentinel://one/m").access == {}


def test_celery_gets_the_same_place() -> None:
    address, options = broker("sentinel://:sec%2Fret@one,two:5/m/1")
    assert address == "sentinel://:sec%2Fret@one:26379/1;sentinel://:sec%2Fret@two:5/1"
    assert options == {"master_name": "m"}
    assert broker("redis://one:6379/0") == ("redis://one:6379/0", {})


@pytest.mark.parametrize(
    "url", ["sentinel://one", "sentinel://one:x/m", "sentinel://one/m/x", "sentinel:///m/0"]
)
def test_nonsense_is_refused_and_the_password_kept_back(url: str) -> None:
    with pytest.raises(SettingError):
        connect(url)
    with pytest.raises(SettingError) as refused:
        connect(url.replace("//", "//:secret@"))
    assert "secret" not in str(refused.value)
