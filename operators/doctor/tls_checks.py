"""What `doctor` finds in the certificates of the service and of Redis, and how long they hold."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Iterator
from urllib.parse import SplitResult, parse_qs, urlsplit

from operators.doctor.checks import Finding, Verdict

_DAYS = 21
"""Left days under which a renewal is due."""


def tls_checks(service: str, redis: str) -> Iterator[Finding]:
    """One finding an address that is encrypted; "" and plain ones have none."""
    for what, address, authority in (
        ("service certificate", urlsplit(service), os.environ.get("SSL_CERT_FILE")),
        ("redis certificate", urlsplit(redis), _authority(redis)),
    ):
        if address.scheme in {"https", "rediss"} and address.hostname:
            yield _certificate(what, address, authority)


def _certificate(what: str, address: SplitResult, authority: str | None) -> Finding:
    host, port = str(address.hostname), address.port or (443 if address.scheme == "https" else 6379)
    try:
        context = ssl.create_default_context(cafile=authority)
        with (
            socket.create_connection((host, port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=host) as wrapped,
        ):
            ends = ssl.cert_time_to_seconds(str((wrapped.getpeercert() or {})["notAfter"]))
    except ssl.SSLCertVerificationError as error:
        advice = "Renew it, or name its authority (SSL_CERT_FILE; ssl_ca_certs in Redis's address)"
        return Finding(what, Verdict.BAD, f"{host}:{port}: {error.verify_message}", advice)
    except OSError as error:
        return Finding(what, Verdict.BAD, f"{host}:{port}: {error}", "Is it up, and does it speak TLS there?")
    days = (ends - time.time()) / 86400
    good = days > _DAYS
    advice = "" if good else "Renew it"
    return Finding(
        what, Verdict.GOOD if good else Verdict.ODD, f"{host}:{port}: {days:.0f} days left", advice
    )


def _authority(redis: str) -> str | None:
    return next(iter(parse_qs(urlsplit(redis).query).get("ssl_ca_certs", [])), None)
