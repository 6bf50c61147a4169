"""The API page names every call, type and status of the OpenAPI document, and links within itself."""

from __future__ import annotations

import re

import pytest

from gateway.app import create_app
from gateway.http.openapi import describe_api
from gateway.pages.api_page import kind_of
from gateway.settings import Settings


@pytest.fixture(scope="module")
def both() -> tuple[dict[str, dict[str, dict[str, object]]], str]:
    app = create_app(Settings(redis_url="redis://127.0.0.1:1/0", blobs="/nonexistent"))
    with app.test_client() as http:
        answer = http.get("/api", headers={"Host": "localhost"})
        assert answer.status_code == 200
        return describe_api(app), answer.text


def test_every_call_and_every_answer_is_on_the_page(both: tuple[dict, str]) -> None:
    document, page = both
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert f"<code>{method.upper()} {path}</code>" in page
            section = page.partition(f'<section class="card" id="{operation["operationId"]}"')[2].partition(
                "</section>"
            )[0]
            assert all(f"<td>{status}</td>" in section for status in operation["responses"])


def test_every_type_is_on_the_page_and_every_link_leads_to_one(both: tuple[dict, str]) -> None:
    document, page = both
    anchors = set(re.findall(r'id="([^"]+)"', page))
    assert {f"schema-{name}" for name in document["components"]["schemas"]} <= anchors
    assert set(re.findall(r'href="#([^"]+)"', page)) <= anchors


def test_it_needs_no_script(both: tuple[dict, str]) -> None:
    assert "<script" not in both[1]
    assert "style=" not in both[1]


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"$ref": "#/components/schemas/Job"}, "Job"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string or null"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Job"}}, "list of Job"),
        ({"enum": ["stat", "bulk"]}, "stat | bulk"),
        ({"type": "integer", "minimum": 0, "maximum": 30}, "integer, 0 to 30"),
        ({"type": "string", "format": "date-time"}, "date-time"),
        ({}, "any"),
    ],
)
def test_a_type_in_words(schema: dict[str, object], words: str) -> None:
    assert kind_of(schema) == words
