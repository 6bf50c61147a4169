"""The web pages: thin shells whose modules ask the same API as everybody else."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, g, render_template
from markdown_it import MarkdownIt

from contracts.model_card import read_card
from contracts.result import CDR, CLASS_KEYS, LABELS, NOTICE
from gateway.access.auth import own_job
from gateway.http.errors import ModelNotFound, NoSuchPage
from gateway.http.openapi import describe_api
from gateway.http.problems import all_kinds, kind_of
from gateway.monitoring.load_routes import sees_all
from gateway.pages.api_page import calls_by_tag, members_by_schema
from gateway.resources import resources
from jobstore import deployed

blueprint = Blueprint("pages", __name__)
_API = "hippocamp.api_page"

_VIEWER = "vendor/niivue.js"


@blueprint.app_context_processor
def _caller() -> dict[str, Any]:
    """What the frame around every page shows of who is there."""
    return {"caller": g.get("principal"), "notice": NOTICE}


@blueprint.get("/")
def home() -> str:
    """Drop volumes, watch recent jobs."""
    return render_template("home.html", most_bytes=resources().settings.max_upload_bytes)


@blueprint.get("/jobs/<job_id>")
def job(job_id: str) -> str:
    """One job: its way through the stages, then the answer and the brain."""
    classes = [(key, cdr, LABELS[cdr]) for key, cdr in zip(CLASS_KEYS, CDR, strict=True)]
    built = (Path(current_app.static_folder or "") / _VIEWER).exists()
    return render_template("job.html", job_id=own_job(job_id).id, classes=classes, viewer=built)


@blueprint.get("/operations")
def operations() -> str:
    """Depth, age, throughput, workers and failing webhooks, live."""
    return render_template("operations.html", everything=sees_all())


@blueprint.get("/model")
def model() -> str:
    """The card of the model in service: what it is for, what it was measured at, where it fails."""
    return _model_page(deployed.current(resources().client)[1])


@blueprint.get("/model/<digest>")
def other_model(digest: str) -> str:
    """The card of another model that answers, or has answered, here."""
    if digest not in deployed.described(resources().client):
        raise ModelNotFound(f"No card of a model {digest} is known here")
    return _model_page(digest)


def _model_page(digest: str) -> str:
    client = resources().client
    pipeline, current = deployed.current(client)
    told = read_card(deployed.card(client, digest)) if digest else None
    card = _html(told.to_markdown()) if told else _card(resources().settings.model_card)
    others = [one for one in deployed.described(client) if one != digest]
    return render_template(
        "model.html", card=card, pipeline=pipeline, model=digest, current=current, others=others
    )


@blueprint.get("/api")
def api() -> str:
    """Every call and every type, for people; made once from the document that programs read."""
    made = current_app.extensions
    if _API not in made:
        document = describe_api(current_app)
        tags, schemas = calls_by_tag(document), members_by_schema(document)
        made[_API] = render_template("api_body.html", tags=tags, schemas=schemas, version=document["openapi"])
    return render_template("api.html", body=made[_API])


@blueprint.get("/problems")
def problems() -> str:
    """Every code an error can have."""
    kinds = sorted({kind.code: kind for kind in all_kinds()}.values(), key=lambda kind: kind.code)
    return render_template("problems.html", kinds=kinds)


@blueprint.get("/problems/<code>")
def problem(code: str) -> str:
    """What one code means; the `type` of a problem document points here."""
    kind = kind_of(code)
    if kind.code != code:
        raise NoSuchPage(f"No problem has the code {code!r}")
    return render_template("problems.html", kinds=[kind])


@blueprint.get("/favicon.ico")
def favicon() -> Response:
    """Browsers ask for it whatever the page says."""
    return Response(status=204)


@cache
def _card(path: Path) -> str:
    """The card as HTML; tags in its text stay text."""
    try:
        text = path.read_text()
    except OSError:
        raise NoSuchPage("This installation carries no model card: HIPPOCAMP_MODEL_CARD names it") from None
    return _html(text)


def _html(markdown: str) -> str:
    html: str = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    return html
