"""The web pages: thin shells whose modules ask the same API as everybody else."""

from __future__ import annotations

from flask import Blueprint, Response, render_template

from contracts.result import CDR, CLASS_KEYS, LABELS, NOTICE
from gateway.auth import own_job
from gateway.errors import NoSuchPage
from gateway.problems import all_kinds, kind_of
from gateway.resources import resources

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def home() -> str:
    """Drop volumes, watch recent jobs."""
    return render_template("home.html", notice=NOTICE, most_bytes=resources().settings.max_upload_bytes)


@blueprint.get("/jobs/<job_id>")
def job(job_id: str) -> str:
    """One job: its way through the stages, then the answer and the slices."""
    classes = [(key, cdr, LABELS[cdr]) for key, cdr in zip(CLASS_KEYS, CDR, strict=True)]
    return render_template("job.html", notice=NOTICE, job_id=own_job(job_id).id, classes=classes)


@blueprint.get("/problems")
def problems() -> str:
    """Every code an error can have."""
    kinds = sorted({kind.code: kind for kind in all_kinds()}.values(), key=lambda kind: kind.code)
    return render_template("problems.html", notice=NOTICE, kinds=kinds)


@blueprint.get("/problems/<code>")
def problem(code: str) -> str:
    """What one code means; the `type` of a problem document points here."""
    kind = kind_of(code)
    if kind.code != code:
        raise NoSuchPage(f"No problem has the code {code!r}")
    return render_template("problems.html", notice=NOTICE, kinds=[kind])


@blueprint.get("/favicon.ico")
def favicon() -> Response:
    """Browsers ask for it whatever the page says."""
    return Response(status=204)
