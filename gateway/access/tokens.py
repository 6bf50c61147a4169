"""OpenID Connect bearer tokens: signature, issuer, audience and times checked, a claim names the site."""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt

from contracts.errors import Unauthenticated, Unavailable
from jobstore.api_keys import Scope
from runtime.settings import SettingError, env_text

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Only signatures of a key pair: a shared secret would let every holder of it be anybody."""


@dataclass(frozen=True)
class TokenSettings:
    """Who issues tokens; issuer "": none are taken.

    jwks: the issuer's public keys, a file or an https address. site_claim, scope_claim: claims that name the
    site, and the scopes as one string with spaces or as a list.
    """

    issuer: str = field(default_factory=lambda: env_text("OIDC_ISSUER", ""))
    audience: str = field(default_factory=lambda: env_text("OIDC_AUDIENCE", ""))
    jwks: str = field(default_factory=lambda: env_text("OIDC_JWKS", ""))
    site_claim: str = field(default_factory=lambda: env_text("OIDC_SITE_CLAIM", "hippocamp_site"))
    scope_claim: str = field(default_factory=lambda: env_text("OIDC_SCOPE_CLAIM", "scope"))
    client_id: str = field(default_factory=lambda: env_text("OIDC_CLIENT_ID", ""))
    client_secret: str = field(default_factory=lambda: env_text("OIDC_CLIENT_SECRET", ""), repr=False)
    login_scopes: str = field(default_factory=lambda: env_text("OIDC_LOGIN_SCOPES", "openid"))

    def __post_init__(self) -> None:
        if self.issuer and not (self.audience and self.jwks):
            raise SettingError("HIPPOCAMP_OIDC_ISSUER needs HIPPOCAMP_OIDC_AUDIENCE and HIPPOCAMP_OIDC_JWKS")


@dataclass(frozen=True)
class Token:
    """What a good token says: the site, the scopes of ours among its scopes, and the subject."""

    site: str
    scopes: frozenset[Scope]
    subject: str


class TokenChecker:
    """Checks tokens of one issuer; fetched keys are kept for five minutes."""

    def __init__(self, settings: TokenSettings) -> None:
        self.settings = settings
        self._remote: jwt.PyJWKClient | None = None
        self._local: jwt.PyJWKSet | None = None
        if settings.jwks.startswith(("http://", "https://")):
            self._remote = jwt.PyJWKClient(settings.jwks, cache_keys=True, lifespan=300, timeout=5)
        elif settings.jwks:
            self._local = _read(Path(settings.jwks))

    def check(self, text: str) -> Token:
        """The content of an access token; Unauthenticated when anything about it is wrong."""
        return self._token(self._claims(text, self.settings.audience))

    def check_login(self, text: str, nonce: str) -> Token:
        """The content of an ID token made for this installation's login (OpenID Connect Core, 3.1.3.7)."""
        claims = self._claims(text, self.settings.client_id)
        if not hmac.compare_digest(str(claims.get("nonce", "")), nonce):
            raise Unauthenticated("The provider's answer belongs to another login")
        return self._token(claims)

    def _claims(self, text: str, audience: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                text,
                self._key(text),
                algorithms=_ALGORITHMS,
                issuer=self.settings.issuer,
                audience=audience,
                leeway=30,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.PyJWKClientConnectionError as error:
            raise Unavailable("The issuer's keys could not be fetched; try again") from error
        except (jwt.PyJWTError, ValueError) as error:
            raise Unauthenticated(f"The token is not accepted ({type(error).__name__})") from error
        return claims

    def _key(self, text: str) -> Any:
        if self._remote is not None:
            return self._remote.get_signing_key_from_jwt(text).key
        named = jwt.get_unverified_header(text).get("kid")
        keys = self._local.keys if self._local else []
        found = [key for key in keys if key.key_id == named]
        if not found:
            raise jwt.InvalidKeyError("no key of the issuer has this id")
        return found[0].key

    def _token(self, claims: dict[str, Any]) -> Token:
        site = claims.get(self.settings.site_claim)
        if not isinstance(site, str) or not site:
            raise Unauthenticated(f"The token has no claim {self.settings.site_claim!r} that names a site")
        given = claims.get(self.settings.scope_claim, "")
        names = given.split() if isinstance(given, str) else [str(name) for name in given]
        return Token(site, frozenset(scope for scope in Scope if scope in names), str(claims["sub"]))


def _read(path: Path) -> jwt.PyJWKSet:
    try:
        return jwt.PyJWKSet.from_dict(json.loads(path.read_text()))
    except (OSError, ValueError, jwt.PyJWTError) as error:
        raise SettingError(f"HIPPOCAMP_OIDC_JWKS={path}: {error}") from None
