"""Models and their cards as the API tells them: nothing before a server told it, then word for word."""

from __future__ import annotations

import pytest
import redis
from flask.testing import FlaskClient

from contracts import deployed

pytestmark = pytest.mark.integration
OLD, NEW = "a" * 64, "b" * 64


def test_a_card_is_there_once_its_server_told_it(http: FlaskClient, redis_client: redis.Redis) -> None:
    assert http.get("/v1/models").json == {"models": []}
    answer = http.get("/v1/models/hippocamp/card")
    assert (answer.status_code, answer.json["code"]) == (404, "model.not_found")
    deployed.describe(redis_client, OLD, "# Card of the old one")
    deployed.describe(redis_client, NEW, "# Card of the new one: ≥")
    deployed.publish(redis_client, "model", NEW)
    assert [(one["name"], one["in_service"]) for one in http.get("/v1/models").json["models"]] == [
        ("hippocamp", True),
        (OLD, False),
    ]
    card = http.get("/v1/models/hippocamp/card").json
    assert (card["digest"], card["card"]) == (NEW, "# Card of the new one: ≥")
    assert http.get(f"/v1/models/{OLD}/card").json["card"] == "# Card of the old one"
    assert http.get(f"/v1/models/{'c' * 64}/card").status_code == 404
