"""What reading a site's uploads may cost: data elements, places in the sandbox, CPU seconds."""

from __future__ import annotations

import io
import struct
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from flask.testing import FlaskClient
from pydicom.uid import MRImageStorage

from gateway.http.errors import SandboxBusy
from gateway.settings import Settings
from gateway.uploads.reading_costs import charge
from gateway.uploads.sanitize.pool import SiteSlots
from gateway.uploads.sanitize.task import Limits
from imaging.dicom_elements import MOST_ELEMENTS, MOST_OF_UPLOAD, TooManyElements, count_elements
from jobstore import keys, sites
from tests.integration.gateway.conftest import nifti
from tests.integration.sites.conftest import RAW, Caller

STOW = 'multipart/related; type="application/dicom"; boundary=b'
IMPLICIT, EXPLICIT = b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1"
EMPTY = struct.pack("<HH2sH", 9, 0x1001, b"LO", 0)
EMPTY_IMPLICIT = struct.pack("<HHL", 9, 0x1001, 0)


def element(group: int, number: int, kind: bytes, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HH2sH", group, number, kind, len(value)) + value


def implicit(group: int, number: int, _: bytes, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHL", group, number, len(value)) + value


def dicom(junk: bytes, syntax: bytes = EXPLICIT) -> bytes:
    """An instance of one pixel whose header holds `junk` besides what it must."""
    meta = element(2, 2, b"UI", MRImageStorage.encode()) + element(2, 3, b"UI", b"1.2.3")
    meta += element(2, 0x10, b"UI", syntax)
    about = (
        (8, 0x16, b"UI", MRImageStorage.encode()), (8, 0x18, b"UI", b"1.2.3"), (8, 0x60, b"CS", b"MR"),
        (0x20, 0xD, b"UI", b"1.2.4"), (0x20, 0xE, b"UI", b"1.2.5"),
    )  # fmt: skip
    head = b"".join(element(*one) if syntax == EXPLICIT else implicit(*one) for one in about)
    pixels = struct.pack("<HH2sHL", 0x7FE0, 0x10, b"OW", 0, 4) + bytes(4)
    if syntax == IMPLICIT:
        pixels = struct.pack("<HHL", 0x7FE0, 0x10, 4) + bytes(4)
    length = element(2, 0, b"UL", struct.pack("<L", len(meta)))
    return bytes(128) + b"DICM" + length + meta + head + junk + pixels


def nested(junk: bytes) -> bytes:
    """The same inside a sequence and an item without lengths."""
    begins = struct.pack("<HH2sHL", 0x21, 0x1001, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    return begins + junk + struct.pack("<HHL", 0xFFFE, 0xE00D, 0) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def zipped(*files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, data in enumerate(files):
            archive.writestr(f"{number}.dcm", data)
    return out.getvalue()


MILLION = 1_000_000
HEADERS = {
    "flat": dicom(EMPTY * MILLION),
    "nested": dicom(nested(EMPTY * MILLION)),
    "implicit": dicom(EMPTY_IMPLICIT * MILLION, IMPLICIT),
    "many files": None,
}


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    """With the default limits."""
    return Settings(redis_url=redis_url, blobs=str(tmp_path / "blobs"))


@pytest.mark.parametrize("name", HEADERS)
def test_a_small_zip_of_a_million_empty_elements_is_413_at_once(
    http: FlaskClient, redis_client: redis.Redis, north: Caller, name: str
) -> None:
    one = HEADERS[name]
    many = [dicom(EMPTY * (MOST_ELEMENTS - 100))] * (MOST_OF_UPLOAD // MOST_ELEMENTS + 2)
    body = zipped(*([one] * 16 if one else many))
    assert len(body) < 500_000
    answer = http.post("/v1/jobs", data=body, content_type="application/zip", headers=north.headers)
    assert (answer.status_code, answer.json["code"]) == (413, "input.too_large"), answer.text
    assert "send one plain series" in answer.json["detail"]
    charged_ms = redis_client.pttl(keys.reading("north"))
    assert charged_ms < (12_000 if one is None else 2_500), "30 s before elements were counted"


def test_stow_lists_such_an_instance_as_out_of_resources(http: FlaskClient, north: Caller) -> None:
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + dicom(EMPTY * MILLION) + b"\r\n--b--"
    answer = http.post("/dicom-web/studies", data=body, content_type=STOW, headers=north.headers)
    assert answer.status_code == 409
    (failure,) = answer.get_json(force=True)["0008119A"]["Value"]
    assert failure["00081197"]["Value"] == [0xA700]


def test_elements_are_counted_at_every_depth() -> None:
    def count(header: bytes, most: int = 100, *, is_implicit: bool = False) -> int:
        return count_elements(memoryview(header), most, is_implicit=is_implicit, is_little=True)

    assert count(EMPTY * 100) == 100
    assert count(nested(EMPTY * 10)) == 14  # the sequence, its item, and both delimiters
    assert count(EMPTY_IMPLICIT * 7, is_implicit=True) == 7
    assert count(element(8, 0x60, b"LO", b"a long value") * 3) == 3
    with pytest.raises(TooManyElements):
        count(EMPTY * 101)


def test_a_site_has_half_of_the_slots_and_the_others_the_rest() -> None:
    slots = SiteSlots(4, wait_seconds=0.05)
    with slots.taken("north"), slots.taken("north"):
        assert is_refused(slots, "north", "of your site are")
        assert not is_refused(slots, "south", "")
        with slots.taken("south"), slots.taken("south"):
            assert is_refused(slots, "west", "Too many uploads are being read")
    assert not is_refused(slots, "north", "")


def is_refused(slots: SiteSlots, site: str, why: str) -> bool:
    try:
        with slots.taken(site):
            return False
    except SandboxBusy as error:
        return why in str(error)


def test_a_place_that_is_given_back_goes_to_who_waits() -> None:
    slots, got = SiteSlots(1, wait_seconds=60), threading.Event()

    def wait() -> None:
        with slots.taken("south"):
            got.set()

    with slots.taken("north"):
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not got.wait(0.1)
    assert got.wait(60)
    waiting.join()


def test_uploads_that_find_no_place_are_503_soon(
    http: FlaskClient, north: Caller, app: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = app.extensions["hippocamp"].sandbox  # type: ignore[attr-defined]
    monkeypatch.setattr(sandbox, "slots", SiteSlots(1, wait_seconds=0.1))
    with sandbox.slots.taken("south"):
        answer = http.post("/v1/jobs", data=nifti(), content_type=RAW, headers=north.headers)
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable.sandbox"), answer.text
    assert answer.headers["Retry-After"]
    assert http.post("/v1/jobs", data=nifti(), content_type=RAW, headers=north.headers).status_code == 202


def test_what_reading_costs_is_charged_to_the_site_alone(
    http: FlaskClient, north: Caller, south: Caller, redis_client: redis.Redis
) -> None:
    body = zipped(*[dicom(EMPTY * (MOST_ELEMENTS - 100))] * 4)
    answer = http.post("/v1/jobs", data=body, content_type="application/zip", headers=north.headers)
    assert answer.status_code in {202, 422}, answer.text
    assert redis_client.get(keys.reading("north"))
    assert redis_client.get(keys.reading("south")) is None
    charge(redis_client, "north", 100.0)
    for path, data, kind in (
        ("/v1/jobs", nifti(), RAW),
        ("/v1/jobs", body, "application/zip"),
        ("/dicom-web/studies", b"--b\r\n\r\n\r\n--b--", STOW),
    ):
        answer = http.post(path, data=data, content_type=kind, headers=north.headers)
        assert (answer.status_code, answer.json["code"]) == (429, "quota.exceeded"), answer.text
        assert answer.json["quota"] == "reading"
        assert answer.headers["Retry-After"]
    assert http.post("/v1/jobs", data=nifti(), content_type=RAW, headers=south.headers).status_code == 202


def test_a_site_without_the_limit_pays_nothing(
    http: FlaskClient,
    redis_client: redis.Redis,
    new_site: Callable[..., sites.Site],
    key: Callable[..., Caller],
) -> None:
    new_site("free", reading_cpu=0.0)
    caller = key("free")
    charge(redis_client, "free", 1000.0)
    assert http.post("/v1/jobs", data=nifti(), content_type=RAW, headers=caller.headers).status_code == 202


def test_the_default_wait_for_a_place_is_short() -> None:
    assert Limits().wait_seconds <= 5
