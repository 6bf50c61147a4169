"""Logging people in with an OpenID Connect provider: authorization code flow with PKCE (RFC 7636, S256)."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any, cast

import redis
import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from contracts.errors import Unauthenticated, Unavailable
from gateway.access.bounded_records import Owner, keep_latest
from gateway.access.tokens import TokenSettings
from jobstore import keys

_SECONDS = 600
"""How long a person may take at the provider."""
_MOST_ATTEMPTS = 100
_TIMEOUT = 10.0
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


@dataclass
class Provider:
    """The issuer as a place to log in; its addresses are discovered once an hour."""

    settings: TokenSettings
    _found: dict[str, Any] = field(default_factory=dict)
    _until: float = 0.0

    def address(self, attempt: Attempt, redirect_uri: str) -> str:
        """Where to send the browser."""
        where = self._endpoint("authorization_endpoint")
        with self._client(redirect_uri) as client:
            address, _ = client.create_authorization_url(
                where, state=attempt.state, code_verifier=attempt.verifier, nonce=attempt.nonce
            )
        return str(address)

    def redeem(self, attempt: Attempt, code: str, redirect_uri: str) -> str:
        """The ID token that the code stands for; Unauthenticated when the provider refuses it."""
        where = self._endpoint("token_endpoint")
        try:
            with self._client(redirect_uri) as client:
                answer = client.fetch_token(where, code=code, code_verifier=attempt.verifier)
        except OAuthError:
            raise Unauthenticated("The provider refused the login") from None
        except (requests.RequestException, ValueError) as error:
            if 400 <= _status(error) < 500:
                raise Unauthenticated("The provider refused the login") from error
            raise _unavailable(error) from error
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise Unauthenticated("The provider sent no ID token")
        return token

    def _client(self, redirect_uri: str) -> OAuth2Session:
        secret = self.settings.client_secret
        return OAuth2Session(
            self.settings.client_id,
            secret or None,
            token_endpoint_auth_method="client_secret_post" if secret else "none",
            scope=self.settings.login_scopes,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            default_timeout=_TIMEOUT,
        )

    def _endpoint(self, name: str) -> str:
        if time.monotonic() > self._until:
            issuer = self.settings.issuer.rstrip("/")
            self._found = _described(f"{issuer}/.well-known/openid-configuration")
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


def _described(address: str) -> dict[str, Any]:
    try:
        answer = requests.get(address, headers={"Accept": "application/json"}, timeout=_TIMEOUT)
        answer.raise_for_status()
        found = answer.json()
    except (requests.RequestException, ValueError) as error:
        raise _unavailable(error) from error
    if not isinstance(found, dict):
        raise Unavailable("The provider does not describe itself at its address for discovery")
    return found


def _unavailable(error: Exception) -> Unavailable:
    if status := _status(error):
        return Unavailable(f"The provider answered {status}; try again later, or log in with a key")
    return Unavailable("The provider does not answer; try again, or log in with a key")


def _status(error: Exception) -> int:
    answer = error.response if isinstance(error, requests.RequestException) else None
    return 0 if answer is None else answer.status_code
