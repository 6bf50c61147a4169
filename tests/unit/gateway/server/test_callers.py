"""Whose turn a request takes is decided by credentials that were good, never by what they claim."""

from __future__ import annotations

from typing import Any

from gateway.server.callers import REMEMBER_SECONDS, Callers


def request(key: str = "", address: str = "192.0.2.1") -> dict[str, Any]:
    headers = [(b"authorization", f"Bearer {key}".encode())] if key else []
    return {"headers": headers, "client": (address, 1234)}


def test_a_key_that_only_names_a_site_takes_no_turn_of_it() -> None:
    callers = Callers()
    callers.remember(request("hk_north_good"), "north")
    assert callers.site_of(request("hk_north_good", "192.0.2.9")) == "north"
    assert callers.site_of(request("hk_north_forged")) == callers.site_of(request())


def test_strangers_are_told_apart_by_their_address() -> None:
    callers = Callers()
    assert callers.site_of(request(address="192.0.2.1")) != callers.site_of(request(address="192.0.2.2"))


def test_what_was_good_is_asked_for_again_after_a_while() -> None:
    now = [0.0]
    callers = Callers(clock=lambda: now[0])
    callers.remember(request("k"), "north")
    now[0] = REMEMBER_SECONDS + 1
    assert callers.site_of(request("k")) == callers.site_of(request())


def test_two_values_of_one_header_are_no_credentials() -> None:
    callers = Callers()
    twice = request("k")
    twice["headers"] *= 2
    callers.remember(twice, "north")
    assert callers.site_of(twice) != "north"
