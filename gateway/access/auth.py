"""Who calls, what they may do, and whether a job is theirs; another site's job does not exist for them."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import redis
from flask import Flask, Response, current_app, g, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from contracts.errors import Forbidden, Gone, JobNotFound, Unauthenticated
from contracts.job import Job
from gateway.access.keys import Verifier, in_force
from gateway.access.open_mode import OpenMode
from gateway.access.provider import Provider
from gateway.access.rate import spend
from gateway.access.scopes import needed
from gateway.access.sessions import session
from gateway.access.tokens import Token, TokenChecker, TokenSettings
from gateway.resources import resources
from gateway.server.handover import ALLOWANCE, SITE
from jobstore import sites
from jobstore.api_keys import ApiKey, Scope
from jobstore.replies import QueueEstimate
from runtime.settings import SettingError

_log = logging.getLogger("hippocamp.gateway")
_KEY = "hippocamp.auth"
_LOCAL_NAMES = {"localhost", "127.0.0.1", "[::1]", "::1"}


@dataclass(frozen=True)
class Principal:
    """The caller: `who` is a key's prefix, `oidc:<subject>`, or "open" on a machine without sites."""

    site: str
    scopes: frozenset[Scope]
    who: str


@dataclass(frozen=True)
class _Guard:
    verifier: Verifier
    tokens: TokenChecker | None
    provider: Provider | None
    loopback: bool
    open_mode: OpenMode


def protect(app: Flask) -> None:
    """Ask every request for its key, before anything of its body is read."""
    oidc = TokenSettings()
    app.extensions[_KEY] = _Guard(
        Verifier(),
        TokenChecker(oidc) if oidc.issuer else None,
        Provider(oidc) if oidc.issuer and oidc.client_id else None,
        is_loopback(_settings_bind(app)),
        OpenMode(),
    )
    app.before_request(_admit)
    app.after_request(_tell_allowance)


def refuse_open_network(bind: str, client: redis.Redis) -> None:
    """SettingError when `bind` reaches beyond this machine and nothing would ask callers for a key."""
    if is_loopback(bind):
        return
    try:
        configured = sites.any_configured(client)
    except redis.RedisError:
        return  # nobody gets in without a key on such an address, so nothing is open while Redis starts
    if not configured and not TokenSettings().issuer:
        raise SettingError(
            f"HIPPOCAMP_BIND={bind} reaches beyond this machine, but no site is configured:"
            " add one with `hippocamp-admin sites add`, or bind to 127.0.0.1"
        )


def announce_mode(bind: str, client: redis.Redis) -> None:
    """Say at start whether callers need keys."""
    try:
        configured = sites.any_configured(client)
    except redis.RedisError:
        return
    if not configured and is_loopback(bind):
        _log.warning("auth.open", extra={"why": "no site is configured; only this machine is served"})
    else:
        _log.info("auth.keys_needed", extra={"bind": bind})


def is_loopback(bind: str) -> bool:
    """Whether every address of `host:port,host:port` stays on this machine; unix sockets do."""
    return all(_stays(part.strip()) for part in bind.split(","))


def principal() -> Principal:
    """The caller of the present request."""
    return cast("Principal", g.principal)


def may_read() -> bool:
    """Whether the caller may know what came out of a job; a key that may only submit may not."""
    return Scope.READ in principal().scopes


def current_site() -> str:
    """The caller's site."""
    return principal().site


def own_job(job_id: str) -> Job:
    """The job when it belongs to the caller's site; JobNotFound otherwise, whoever else may own it.

    Gone: the site erased it.
    """
    return _owned(job_id, resources().job_store.get)


def own_place(job_id: str) -> tuple[Job, QueueEstimate]:
    """The same with its position in the queue, in one round trip."""
    found: list[QueueEstimate] = []

    def read(wanted: str) -> Job:
        job, estimate = resources().job_store.look(wanted)
        found.append(estimate)
        return job

    return _owned(job_id, read), found[0]


def _owned(job_id: str, read: Callable[[str], Job]) -> Job:
    try:
        job = read(job_id)
    except JobNotFound:
        if resources().job_store.erased_by(job_id) == current_site():
            raise Gone(f"Job {job_id} was erased") from None
        raise
    if job.site != current_site():
        raise JobNotFound(f"No job {job_id}")
    return job


def _admit() -> BaseResponse | None:
    scope = needed(request.endpoint) if request.endpoint else None
    if scope is None:
        return None
    try:
        caller, site = _identify(_guard())
    except Unauthenticated:
        if request.blueprint == "pages":
            return redirect(url_for("login.form", next=request.path))
        raise
    g.principal = caller
    request.environ[SITE] = caller.site
    if scope not in caller.scopes:
        raise Forbidden(f"This call needs a key with the scope {scope}", scope=scope)
    if site is not None:
        if ALLOWANCE not in request.environ:
            request.environ[ALLOWANCE] = spend(resources().client, site)
        g.allowance = request.environ[ALLOWANCE]
        if g.allowance:
            g.allowance.enforce()
    return None


def _identify(guard: _Guard) -> tuple[Principal, sites.Site | None]:
    text = _presented()
    if text.startswith("hk_"):
        return _site_of(*guard.verifier.verify(resources().client, text, now_ms=_now_ms()))
    if text and guard.tokens is not None:
        return site_of_token(guard.tokens.check(text))
    if text:
        raise Unauthenticated("The Authorization header holds no API key (hk_...)")
    if logged_in := session(resources().client):
        refuse_foreign_pages()
        if logged_in.token is not None:
            return site_of_token(logged_in.token)
        return _site_of(*in_force(resources().client, logged_in.prefix, now_ms=_now_ms()))
    return _open(guard), None


def site_of_token(token: Token) -> tuple[Principal, sites.Site]:
    """The person and the site that a checked token names; Unauthenticated when the site is not in force."""
    site = sites.find(resources().client, token.site)
    if site is None or not site.enabled:
        raise Unauthenticated("The token names a site that is not in force here")
    return Principal(site.name, token.scopes, f"oidc:{token.subject[:80]}"), site


def _site_of(key: ApiKey, site: sites.Site) -> tuple[Principal, sites.Site]:
    return Principal(site.name, key.scopes, key.prefix), site


def _now_ms() -> int:
    return int(time.time() * 1000)


def _open(guard: _Guard) -> Principal:
    """A machine that only talks to itself and has no site needs no keys."""
    if not guard.loopback or guard.open_mode.needs_keys(resources().client):
        raise Unauthenticated("Send an API key: `Authorization: Bearer hk_...`")
    host = request.host
    if host.rpartition(":")[0] not in _LOCAL_NAMES and host not in _LOCAL_NAMES:
        raise Forbidden("Without a configured site only this machine is served, under the name localhost")
    refuse_foreign_pages()
    return Principal(resources().settings.site, frozenset(Scope), "open")


def refuse_foreign_pages() -> None:
    """A page of another origin may not act through the visitor's browser (Fetch Metadata, W3C)."""
    if request.method in {"GET", "HEAD", "OPTIONS"}:
        return
    origin = request.headers.get("Origin")
    told = request.headers.get("Sec-Fetch-Site", "same-origin")
    foreign = origin is not None and origin.partition("://")[2] != request.host
    if foreign or told not in {"same-origin", "none"}:
        raise Forbidden("A page of another origin cannot act here")


def _presented() -> str:
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""


def _tell_allowance(response: Response) -> Response:
    if response.status_code == Unauthenticated.status:
        response.headers["WWW-Authenticate"] = 'Bearer realm="hippocamp"'
    if allowance := g.get("allowance"):
        response.headers.extend(allowance.headers)
    return response


def verifier() -> Verifier:
    """What checks keys in this process."""
    return _guard().verifier


def tokens() -> TokenChecker | None:
    """What checks tokens; None when no issuer is configured."""
    return _guard().tokens


def provider() -> Provider | None:
    """Where people may log in; None when nobody may."""
    return _guard().provider


def _guard() -> _Guard:
    return cast("_Guard", current_app.extensions[_KEY])


def _settings_bind(app: Flask) -> str:
    with app.app_context():
        return resources().settings.bind


def _stays(address: str) -> bool:
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]") if ":" in address else address
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
