"""Which PACS an address means: `https://host/dicom-web` or `TITLE@host:port`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

import httpx
from pydicom import Dataset

from pacs.dimse import DimsePacs
from pacs.web import WebPacs

_DIMSE = re.compile(r"(?P<title>[\w. -]{1,16})@(?P<host>[\w.-]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")


class Pacs(Protocol):
    """Raises PacsUnavailable when a later try may help, PacsRefused when somebody must look."""

    def find_study(self, uid: str) -> Dataset | None:
        """The study's attributes as the PACS has them, None when it has no such study."""

    def store(self, instances: Sequence[Dataset]) -> None:
        """Store all of them."""


def open_pacs(address: str, *, calling: str, authorization: str = "") -> Pacs:
    """The PACS behind an address; ValueError for what is none. Nothing is connected yet."""
    if address.startswith(("http://", "https://")) and _is_url(address):
        return WebPacs(address, authorization)
    if (found := _DIMSE.fullmatch(address)) and 0 < int(found["port"]) < 65536:
        return DimsePacs(found["title"], found["host"].strip("[]"), int(found["port"]), calling)
    raise ValueError(f"{address!r} is no PACS: give https://HOST/dicom-web or TITLE@HOST:PORT")


def _is_url(address: str) -> bool:
    try:
        return bool(httpx.URL(address).host)
    except httpx.InvalidURL:
        return False
