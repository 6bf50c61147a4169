"""Error codes are stable, unique and sensible: clients switch on them."""

from __future__ import annotations

from contracts import errors
from contracts.errors import HippocampError, ModelRefused, QuotaExceeded, Unavailable


def family(of: type[HippocampError]) -> list[type[HippocampError]]:
    found = [of, *(member for child in of.__subclasses__() for member in family(child))]
    return [error for error in found if error.__module__ == errors.__name__]


def test_codes_are_unique() -> None:
    codes = [error.code for error in family(HippocampError)]
    assert len(codes) == len(set(codes))


def test_only_what_may_pass_is_worth_retrying() -> None:
    for error in family(HippocampError):
        assert error.retryable == issubclass(error, (Unavailable, ModelRefused, QuotaExceeded)), error


def test_every_error_stands_in_the_drawing() -> None:
    drawing = errors.__doc__ or ""
    missing = [error.__name__ for error in family(HippocampError) if error.__name__ not in drawing]
    assert missing == []


def test_every_error_explains_itself() -> None:
    for error in family(HippocampError):
        assert error.__doc__
        assert error.title
        assert 400 <= error.status < 600
