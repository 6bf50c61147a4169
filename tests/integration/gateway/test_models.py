"""Models and their cards as the API tells them: nothing before a server told it, then word for word."""

from __future__ import annotations

import re

import pytest
import redis
from flask.testing import FlaskClient

from contracts.model_card import Figure, ModelCard
from jobstore import deployed
from model_store.release.card import read_card

pytestmark = pytest.mark.integration
OLD, NEW = "a" * 64, "b" * 64


def test_a_card_is_there_once_its_server_told_it(http: FlaskClient, redis_client: redis.Redis) -> None:
    assert http.get("/v1/models").json == {"models": []}
    answer = http.get("/v1/models/hippocamp/card")
    assert (answer.status_code, answer.json["code"]) == (404, "model.not_found")
    shipped = read_card()
    deployed.describe(redis_client, OLD, titled(shipped, "The old one"))
    deployed.describe(redis_client, NEW, titled(shipped, "The new one: ≥"))
    deployed.publish(redis_client, "model", NEW)
    assert [(one["name"], one["in_service"]) for one in http.get("/v1/models").json["models"]] == [
        ("hippocamp", True),
        (OLD, False),
    ]
    card = http.get("/v1/models/hippocamp/card").json
    assert (card["digest"], card["card"]["title"]) == (NEW, "The new one: ≥")
    assert card["markdown"].startswith("# The new one: ≥")
    assert [Figure.model_validate(one) for one in card["card"]["figures"]] == shipped.figures
    assert "Not for diagnosis" in card["card"]["notice"]
    assert http.get(f"/v1/models/{OLD}/card").json["card"]["title"] == "The old one"
    assert http.get(f"/v1/models/{'c' * 64}/card").status_code == 404


def titled(card: ModelCard, title: str) -> str:
    return card.model_copy(update={"title": title}).model_dump_json()


def test_a_card_that_is_no_card_is_not_shown(http: FlaskClient, redis_client: redis.Redis) -> None:
    deployed.describe(redis_client, OLD, "# Markdown of an older release")
    deployed.publish(redis_client, "model", OLD)
    assert http.get(f"/v1/models/{OLD}/card").status_code == 404
    assert http.get("/model").status_code == 200  # the card of the installation


def test_the_page_shows_the_card_in_service_and_leads_to_the_others(
    http: FlaskClient, redis_client: redis.Redis
) -> None:
    for digest, title in ((OLD, "The old one"), (NEW, "The new one <b>")):
        deployed.describe(redis_client, digest, titled(read_card(), title))
    deployed.publish(redis_client, "model", NEW)
    page = http.get("/model").text
    assert "<h1>The new one &lt;b&gt;</h1>" in page
    assert re.search(r"<td>0\.799 \[0\.715, 0\.875\]</td>|<td>\d\.\d{3} \[", page)
    assert f'href="/model/{OLD}"' in page
    assert "<h1>The old one</h1>" in http.get(f"/model/{OLD}").text
    assert http.get(f"/model/{'c' * 64}").status_code == 404
