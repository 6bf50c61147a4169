"""The models that answer here, and their cards: data, intended use, measured figures, failures."""

from __future__ import annotations

from flask import Blueprint

from contracts.model_card import read_card
from gateway.http.errors import ModelNotFound
from gateway.http.operations import Operation, operation
from gateway.http.schemas import Model, ModelCard, Models
from gateway.resources import resources
from jobstore import deployed

blueprint = Blueprint("models", __name__, url_prefix="/v1/models")
NAME = "hippocamp"
"""What the model in service is called, whichever version it is."""


@blueprint.get("")
@operation(Operation("List the models", "models", {200: Models}))
def index() -> Models:
    """Every model whose card is known; a model tells its card when its server starts."""
    client = resources().client
    _, current = deployed.current(client)
    found = sorted(deployed.described(client), key=lambda digest: digest != current)
    return Models(models=[_model(digest, current) for digest in found])


@blueprint.get("/<name>/card")
@operation(Operation("Read a model's card", "models", {200: ModelCard}, errors=(ModelNotFound,)))
def card(name: str) -> ModelCard:
    """By `hippocamp` that of the model in service; by digest, as results name it, that of any."""
    client = resources().client
    _, current = deployed.current(client)
    digest = current if name == NAME else name
    found = read_card(deployed.card(client, digest)) if digest else None
    if found is None:
        raise ModelNotFound(f"No card of a model {name} is known here; GET /v1/models lists those that are")
    model = _model(digest, current)
    return ModelCard(
        name=model.name, digest=digest, in_service=model.in_service, card=found, markdown=found.to_markdown()
    )


def _model(digest: str, current: str) -> Model:
    name = NAME if digest == current else digest
    return Model(name=name, digest=digest, in_service=digest == current, card=f"/v1/models/{name}/card")
