"""Logging people in with an OpenID Connect provider: authorization code flow with PKCE (RFC 7636, S256)."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import Any, cast

import redis

from contracts.errors import Unauthenticated, Unavailable
from gateway.access.bounded_records import Owner, keep_latest
from gateway.access.tokens import TokenSettings
from jobstore import keys

_SECONDS = 600
"""How long a person may take at the provider."""
_MOST_ATTEMPTS = 100
_TIMEOUT = 10.0
_MOST_BYTES = 1 << 20
_KNOWN_SECONDS = 3600.0


@dataclass(frozen=True)
class Attempt:
    """One login under way: what the browser's cookie, the provider's answer and the ID token must match."""

    state: str
    nonce: str
    verifier: str
    next: str

    @classmethod
    def begin(cls, next_page: str) -> Attempt:
        """Fresh secrets for one login."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(state, nonce, verifier, next_page)

    @property
    def challenge(self) -> str:
        """The verifier's SHA-256 in base64url, as RFC 7636 writes it."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass
class Provider:
    """The issuer as a place to log in; its addresses are discovered once an hour."""

    settings: TokenSettings
    _found: dict[str, Any] = field(default_factory=dict)
    _until: float = 0.0

    def address(self, attempt: Attempt, redirect_uri: str) -> str:
        """Where to send the browser."""
        asked = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": self.settings.login_scopes,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        return f"{self._endpoint('authorization_endpoint')}?{urllib.parse.urlencode(asked)}"

    def redeem(self, attempt: Attempt, code: str, redirect_uri: str) -> str:
        """The ID token that the code stands for; Unauthenticated when the provider refuses it."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": self.settings.client_id,
            "code_verifier": attempt.verifier,
        }
        if self.settings.client_secret:
            form["client_secret"] = self.settings.client_secret
        told = _json(self._endpoint("token_endpoint"), urllib.parse.urlencode(form).encode())
        token = told.get("id_token")
        if not isinstance(token, str):
            raise Unauthenticated("The provider sent no ID token")
        return token

    def _endpoint(self, name: str) -> str:
        if time.monotonic() > self._until:
            issuer = self.settings.issuer.rstrip("/")
            self._found = _json(f"{issuer}/.well-known/openid-configuration")
            self._until = time.monotonic() + _KNOWN_SECONDS
        found = self._found.get(name)
        if not isinstance(found, str) or not found.startswith(("https://", "http://")):
            raise Unavailable(f"The provider names no {name}")
        return found


def remember(client: redis.Redis, attempt: Attempt, *, address: str) -> None:
    """Keep an attempt until the browser comes back; of one client address the latest 100 only."""
    told = {"nonce": attempt.nonce, "verifier": attempt.verifier, "next": attempt.next}
    owner = Owner(keys.logins(hashlib.sha256(address.encode()).hexdigest()), _MOST_ATTEMPTS, _SECONDS)
    keep_latest(client, owner, record=_record(attempt.state), text=json.dumps(told))


def recall(client: redis.Redis, state: str) -> Attempt | None:
    """The attempt of this state, once; None when there is none or its time is over."""
    text = cast("str | None", client.getdel(_record(state)))
    return Attempt(state, **json.loads(text)) if text else None


def _record(state: str) -> str:
    return keys.login(hashlib.sha256(state.encode()).hexdigest())


def _json(address: str, body: bytes | None = None) -> dict[str, Any]:
    asked = urllib.request.Request(address, data=body, headers={"Accept": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(asked, timeout=_TIMEOUT) as answer:  # noqa: S310  the operator's own setting
            told = json.loads(answer.read(_MOST_BYTES))
    except urllib.error.HTTPError as error:
        if body is not None and error.code < 500:
            raise Unauthenticated("The provider refused the login") from None
        raise Unavailable(f"The provider answered {error.code}") from None
    except (OSError, ValueError) as error:
        raise Unavailable("The provider does not answer; try again, or log in with a key") from error
    if not isinstance(told, dict):
        raise Unavailable("The provider's answer makes no sense")
    return told
