"""Logging a browser in with an API key, on an installation that has sites."""

from __future__ import annotations

import time

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from contracts.errors import Unauthenticated
from contracts.result import NOTICE
from gateway.auth import refuse_foreign_pages, verifier
from gateway.resources import resources
from gateway.sessions import close_session, open_session

blueprint = Blueprint("login", __name__)


@blueprint.get("/login")
def form() -> str:
    """Ask for the key."""
    return render_template("login.html", notice=NOTICE, wrong=False)


@blueprint.post("/login")
def enter() -> Response | tuple[str, int]:
    """Check the key and remember the browser for a working day."""
    refuse_foreign_pages()
    text = request.form.get("key", "").strip()
    try:
        key, _ = verifier().verify(resources().client, text, now_ms=int(time.time() * 1000))
    except Unauthenticated:
        return render_template("login.html", notice=NOTICE, wrong=True), Unauthenticated.status
    response = redirect(url_for("pages.home"), 303)
    open_session(resources().client, key.prefix, response)
    return response


@blueprint.post("/logout")
def leave() -> Response:
    """Forget the browser."""
    response = redirect(url_for("login.form"), 303)
    close_session(resources().client, response)
    return response
