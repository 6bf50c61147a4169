"""Whatever a caller writes into a request with a good key, the answer is 4xx and never a fault of ours."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from gateway.app import create_app
from gateway.settings import Settings
from tests.integration.gateway.conftest import nifti
from tests.integration.sites.conftest import RAW, Caller
from tests.support.provider import Provider

JSON = "application/json"
STOW = 'multipart/related; type="application/dicom"; boundary='

BODIES = {
    "60,000 lists in each other": b"[" * 60_000,
    "60,000 objects in each other": b'{"a":' * 12_000,
    "a number of 60,000 digits": b'{"expected":' + b"9" * 60_000 + b"}",
    "half a character": b'{"description":"\\ud800"}',
    "half a character in a name": b'{"\\udfff":"x"}',
    "no UTF-8": b"\xff\xfe\x00",
    "no number": b'{"expected":NaN}',
    "endless": b'{"expected":1e400}',
    "a list": b"[1]",
    "nothing": b"",
    "null": b"null",
    "an unknown field": b'{"surname":"x"}',
}
JSON_CALLS = ("/v1/batches", "/v1/webhook-endpoints", "/v1/jobs", "/v1/uploads")


@pytest.mark.parametrize("path", JSON_CALLS)
@pytest.mark.parametrize("name", BODIES)
def test_a_malformed_json_body_is_the_callers_fault(
    http: FlaskClient, north: Caller, path: str, name: str
) -> None:
    answer = http.post(path, data=BODIES[name], content_type=JSON, headers=north.headers)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json["code"].startswith("request.")
    assert not answer.json["retryable"]


HEADERS: dict[str, tuple[str, bytes, dict[str, str]]] = {
    "age": ("/v1/jobs", nifti(), {"Hippocamp-Age": "nan"}),
    "endless age": ("/v1/jobs", nifti(), {"Hippocamp-Age": "1e400"}),
    "deadline": ("/v1/jobs", nifti(), {"Hippocamp-Deadline-Seconds": "1" + "0" * 400}),
    "long deadline": ("/v1/jobs", nifti(), {"Hippocamp-Deadline-Seconds": "1" * 5000}),
    "wait": ("/v1/jobs", b"x", {"Prefer": "wait=" + "9" * 5000}),
    "boundary": ("/v1/jobs", b"x", {"Content-Type": "multipart/form-data; boundary="}),
    "long boundary": ("/v1/jobs", b"x" * 100, {"Content-Type": "multipart/form-data; boundary=" + "b" * 500}),
    "long type": ("/v1/jobs", b"x", {"Content-Type": "a" * 7000}),
    "key": ("/v1/jobs", nifti(), {"Idempotency-Key": "k" * 5000}),
    "odd key": ("/v1/jobs", nifti(), {"Idempotency-Key": "\u00e9\u00ff"}),
    "stow boundary": ("/dicom-web/studies", b"x", {"Content-Type": STOW + "\u00e9"}),
    "no stow boundary": ("/dicom-web/studies", b"x", {"Content-Type": STOW}),
    "stow keep": (
        "/dicom-web/studies",
        b"--b\r\n\r\n\r\n--b--",
        {"Content-Type": STOW + "b", "Hippocamp-Keep": "x"},
    ),
    "stow study": ("/dicom-web/studies/" + "9" * 3000, b"--b\r\n\r\n\r\n--b--", {"Content-Type": STOW + "b"}),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_malformed_header_is_the_callers_fault(http: FlaskClient, north: Caller, name: str) -> None:
    path, data, headers = HEADERS[name]
    answer = http.post(path, data=data, headers={"Content-Type": RAW, **headers, **north.headers})
    assert 400 <= answer.status_code < 500 or name == "odd key", answer.text
    assert answer.status_code < 500, answer.text


FORM = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n--b--'
FORMS = {
    "no UTF-8 in a name": FORM % (b"\xff\xfe", b"x"),
    "no UTF-8 in a field": FORM % (b"priority", b"\xff\xfe"),
    "a NUL": FORM % (b"batch", b"\0"),
    "no name": b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--",
    "no end": b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx',
    "no header": b"--b\r\n\r\nx\r\n--b--",
    "many parts": FORM[:-6] % (b"a", b"x") * 100 + b"\r\n--b--",
}


@pytest.mark.parametrize("name", FORMS)
def test_a_malformed_form_is_the_callers_fault(http: FlaskClient, north: Caller, name: str) -> None:
    answer = http.post(
        "/v1/jobs", data=FORMS[name], content_type="multipart/form-data; boundary=b", headers=north.headers
    )
    assert 400 <= answer.status_code < 500, answer.text


PATHS = (
    "/v1/jobs?limit=1e400", "/v1/jobs?limit=" + "9" * 3000, "/v1/jobs?limit=1&limit=500", "/v1/jobs?q=%ff",
    "/v1/jobs?after=%00", "/v1/jobs?after=999999999999999.job_" + "f" * 32, "/v1/jobs/%00",
    "/v1/jobs/" + "a" * 3000, "/v1/jobs/job_" + "f" * 32 + "/slices/" + "9" * 3500 + ".png", "/%ff%fe",
    "/static/../app.py", "/static/..%2fapp.py", "/v1/models/..%2f..%2fetc%2fpasswd/card",
    "/problems/%3Cscript%3E", "/v1/webhook-deliveries?after=%ff", "/v1/batches/bat_%ed%a0%80",
    "/v1/jobs?q=%ed%a0%80", "/v1/jobs?state=%00", "/readyz?only=%00",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_malformed_address_is_no_fault_of_ours(http: FlaskClient, north: Caller, path: str) -> None:
    assert http.get(path, headers=north.headers).status_code < 500


@pytest.mark.parametrize("text", ["hk_", "hk_north_", "hk_north_" + "x" * 5000, "hk_\u00e9", "\x7f", "a b c"])
def test_a_malformed_key_is_401(http: FlaskClient, north: Caller, text: str) -> None:
    assert http.get("/v1/jobs", headers={"Authorization": f"Bearer {text}"}).status_code == 401
    assert http.post("/login", data={"key": text, "next": "//evil"}).status_code == 401


def test_malformed_cookies_are_401(http: FlaskClient, north: Caller) -> None:
    for value in ("\u00e9", "x" * 3000, "%00", '"'):
        http.set_cookie("hippocamp_session", value)
        assert http.get("/v1/jobs").status_code == 401


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(hippocamp_site="north", scope="read") as found:
        yield found


def test_a_malformed_token_is_401(
    settings: Settings, north: Caller, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in provider.environment.items():
        monkeypatch.setenv(name, value)
    deep = base64.urlsafe_b64encode(b"[" * 3000).decode().rstrip("=")
    heads = [b"null", b"[]", b'{"kid": 1}', b'{"kid": "one"}', b'{"kid": "one", "alg": "none"}', b"\xff"]
    packed = [base64.urlsafe_b64encode(head).decode().rstrip("=") for head in heads]
    with create_app(settings).test_client() as http:
        for head in (deep, *packed, "", "a", "\u00e9"):
            for token in (f"{head}.{deep}.x", f"{head}.e30.", head, f"{head}.."):
                answer = http.get("/v1/jobs", headers={"Authorization": f"Bearer {token}"})
                assert answer.status_code == 401, (token[:40], answer.text)
