"""A full house gives a place of the site that holds most, and no site is pushed below its share."""

from __future__ import annotations

import pytest

from gateway.server.places import Place, Places


def fill(places: Places, site: str, count: int) -> list[Place | None]:
    return [places.take(site, lambda: None) for _ in range(count)]


@pytest.mark.parametrize("greedy", [1, 4, 32])
def test_modest_sites_get_all_they_ask_for_however_many_greedy_ones_there_are(greedy: int) -> None:
    places = Places(256, kind="test")
    for number in range(greedy):
        fill(places, f"greedy{number}", 2560)
    for number in range(6):
        assert all(fill(places, f"modest{number}", 4))
    held = [places.held(f"greedy{number}") for number in range(greedy)]
    assert sum(held) == 256 - 24
    assert max(held) - min(held) <= 1


def test_the_oldest_place_of_the_site_that_holds_most_is_lost() -> None:
    places, lost = Places(3, kind="test"), []
    for number in range(3):
        places.take("a", lambda number=number: lost.append(number))
    assert places.take("b", lambda: lost.append("b"))
    assert lost == [0]


def test_equal_sites_do_not_push_each_other_around() -> None:
    places = Places(4, kind="test")
    fill(places, "a", 2)
    fill(places, "b", 2)
    assert places.take("a", lambda: None) is None
    assert places.take("b", lambda: None) is None
    assert places.take("c", lambda: None)
    assert places.take("c", lambda: None) is None, "then a or b would hold fewer than c"


def test_a_place_is_given_back_once_even_when_it_was_lost() -> None:
    places = Places(2, kind="test")
    first, second = fill(places, "a", 2)
    newcomer = places.take("b", lambda: None)
    assert first
    assert second
    assert newcomer
    places.leave(first)
    places.leave(second)
    places.leave(second)
    assert (places.held("a"), places.held("b")) == (0, 1)
    assert all(fill(places, "c", 1))
    assert places.take("c", lambda: None) is None
