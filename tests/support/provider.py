"""A small OpenID Connect provider over HTTP: discovery, one-time codes, PKCE, signed ID tokens."""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask, Response, jsonify, redirect, request
from werkzeug.serving import make_server

from tests.conftest import free_port

CLIENT = "hippocamp-pages"
_PAGE = """<!doctype html><html lang="en"><title>Provider</title><h1>Hospital login</h1>
<form method="post"><button name="answer" value="yes">Let in</button>
<button name="answer" value="no">Refuse</button></form>"""


class Provider:
    """Vouches for whoever presses its button, as the person `claims` describe."""

    def __init__(self, **claims: Any) -> None:
        self.claims = claims
        self.port = free_port()
        self.refused: list[str] = []
        self.instead: tuple[str, int] | None = None  # what the token endpoint answers whatever it is asked
        self.secrets: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._server = make_server("127.0.0.1", self.port, self._app(), threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def issuer(self) -> str:
        """Its own address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a gateway is told to let people log in here."""
        return {
            "HIPPOCAMP_OIDC_ISSUER": self.issuer,
            "HIPPOCAMP_OIDC_AUDIENCE": "hippocamp",
            "HIPPOCAMP_OIDC_JWKS": f"{self.issuer}/keys",
            "HIPPOCAMP_OIDC_CLIENT_ID": CLIENT,
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(60)

    def _app(self) -> Flask:
        app = Flask("provider")
        app.add_url_rule("/.well-known/openid-configuration", view_func=self._discovery)
        app.add_url_rule("/keys", view_func=self._keys)
        app.add_url_rule("/authorize", view_func=self._authorize, methods=["GET", "POST"])
        app.add_url_rule("/token", view_func=self._token, methods=["POST"])
        return app

    def _discovery(self) -> Response:
        places = {name: f"{self.issuer}/{path}" for name, path in (
            ("authorization_endpoint", "authorize"), ("token_endpoint", "token"), ("jwks_uri", "keys"),
        )}  # fmt: skip
        return jsonify(issuer=self.issuer, code_challenge_methods_supported=["S256"], **places)

    def _keys(self) -> Response:
        key = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return jsonify(keys=[{**key, "kid": "one", "use": "sig", "alg": "RS256"}])

    def _authorize(self) -> Any:
        asked = request.args
        if (
            asked["client_id"] != CLIENT
            or asked["code_challenge_method"] != "S256"
            or "openid" not in asked["scope"]
        ):
            return "unknown client", 400
        if request.method == "GET":
            return _PAGE
        answer = {"state": asked["state"]}
        if request.form["answer"] == "yes":
            answer["code"] = secrets.token_urlsafe(16)
            self._codes[answer["code"]] = dict(asked)
        else:
            answer["error"] = "access_denied"
        return redirect(f"{asked['redirect_uri']}?{urlencode(answer)}")

    def _token(self) -> Any:
        form = request.form
        self.secrets.append(form.get("client_secret", ""))
        if self.instead is not None:
            return self.instead
        asked = self._codes.pop(form["code"], None)
        why = self._wrong(form, asked)
        if why or asked is None:
            self.refused.append(why)
            return jsonify(error="invalid_grant", error_description=why), 400
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "u-17",
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
        }
        token = jwt.encode({**claims, **self.claims}, self._key, algorithm="RS256", headers={"kid": "one"})
        return jsonify(id_token=token, access_token=secrets.token_urlsafe(8), token_type="Bearer")

    @staticmethod
    def _wrong(form: Any, asked: dict[str, str] | None) -> str:
        if asked is None:
            return "unknown or used code"
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != asked["code_challenge"]:
            return "wrong verifier"
        same = form["redirect_uri"] == asked["redirect_uri"] and form["client_id"] == asked["client_id"]
        return "" if same else "another client or address"
