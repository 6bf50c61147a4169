"""Logging a browser in, with an API key or at an OpenID Connect provider, on an installation with sites."""

from __future__ import annotations

import hmac
import time

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from contracts.errors import Unauthenticated, Unavailable
from contracts.result import NOTICE
from gateway.access import auth
from gateway.access.auth import refuse_foreign_pages, verifier
from gateway.access.provider import Attempt, recall, remember
from gateway.access.sessions import Session, close_session, open_session
from gateway.http.errors import NoSuchPage
from gateway.resources import resources

blueprint = Blueprint("login", __name__)

_COOKIE = "hippocamp_login"


@blueprint.get("/login")
def form() -> str:
    """Ask for the key, or offer the provider."""
    return _form()


@blueprint.post("/login")
def enter() -> Response | tuple[str, int]:
    """Check the key and remember the browser for a working day."""
    refuse_foreign_pages()
    text = request.form.get("key", "").strip()
    try:
        key, _ = verifier().verify(resources().client, text, now_ms=int(time.time() * 1000))
    except Unauthenticated:
        return _form("The key is unknown, ended or disabled."), Unauthenticated.status
    response = redirect(_own_page(request.form.get("next", "")), 303)
    open_session(resources().client, Session(prefix=key.prefix), response)
    return response


@blueprint.get("/login/provider")
def provider() -> Response | tuple[str, int]:
    """Send the browser to the provider."""
    place = auth.provider()
    if place is None:
        raise NoSuchPage("No provider is configured for logins")
    attempt = Attempt.begin(_own_page(request.args.get("next", "")))
    try:
        response = redirect(place.address(attempt, _callback()))
    except Unavailable as error:
        return _form(error.detail), Unavailable.status
    remember(resources().client, attempt, address=request.remote_addr or "")
    # Lax: the provider's redirect back is a navigation from another site.
    response.set_cookie(
        _COOKIE, attempt.state, max_age=600, path="/login", httponly=True, samesite="Lax",
        secure=request.is_secure,
    )  # fmt: skip
    return response


@blueprint.get("/login/callback")
def callback() -> Response | tuple[str, int]:
    """Take the provider's answer, check its ID token and remember the browser."""
    try:
        attempt, session = _vouched()
    except (Unauthenticated, Unavailable) as error:
        return _form(error.detail), error.status
    # A page, not a redirect: after a redirect from another site no browser would send the strict cookie.
    response = Response(render_template("welcome.html", notice=NOTICE, to=attempt.next), mimetype="text/html")
    open_session(resources().client, session, response)
    response.delete_cookie(_COOKIE, path="/login", httponly=True, samesite="Lax")
    return response


@blueprint.post("/logout")
def leave() -> Response:
    """Forget the browser."""
    response = redirect(url_for("login.form"), 303)
    close_session(resources().client, response)
    return response


def _vouched() -> tuple[Attempt, Session]:
    place, checker = auth.provider(), auth.tokens()
    state = request.args.get("state", "")
    if place is None or checker is None:
        raise Unauthenticated("No provider is configured for logins")
    if not state or not hmac.compare_digest(request.cookies.get(_COOKIE, ""), state):
        raise Unauthenticated("This login was not begun in this browser; try again")
    attempt = recall(resources().client, state)
    if attempt is None:
        raise Unauthenticated("The login took too long or was used already; try again")
    code = request.args.get("code", "")
    if not code:
        raise Unauthenticated("The provider did not let you in")
    token = checker.check_login(place.redeem(attempt, code, _callback()), attempt.nonce)
    auth.site_of_token(token)
    return attempt, Session(token=token)


def _form(wrong: str = "") -> str:
    return render_template(
        "login.html",
        notice=NOTICE,
        wrong=wrong,
        provider=auth.provider() is not None,
        next=_own_page(request.values.get("next", "")),
    )


def _callback() -> str:
    return url_for("login.callback", _external=True)


def _own_page(path: str) -> str:
    """A path of ours, or the first page: never another host's."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and "\n" not in path
    return path if plain and path.isprintable() and "\\" not in path else url_for("pages.home")
