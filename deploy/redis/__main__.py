"""`python -m deploy.redis FOLDER`: ACL files with new passwords, and each service's settings for them."""

from __future__ import annotations

import argparse
import os
import secrets
from pathlib import Path

from deploy.redis.users import CACHE, USERS, acl_file


def main() -> None:
    """Write users.acl, cache.acl, one <service>.env a service, and compose.env; overwrite nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--redis", default="redis:6379", help="Host and port of the job store's server.")
    parser.add_argument("--cache", default="cache:6379", help="Host and port of the server that may forget.")
    parser.add_argument(
        "--ca",
        default="/run/secrets/redis-ca.crt",
        help="Authority, as services see it; '' for no TLS.",
    )
    told = parser.parse_args()
    passwords = {user.name: secrets.token_urlsafe(32) for user in (*USERS, CACHE)}
    told.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(told.folder / "users.acl", acl_file(passwords))
    _write(told.folder / "cache.acl", acl_file(passwords, (CACHE,)))
    shown = []
    cache = address(told.cache, CACHE.name, passwords[CACHE.name], told.ca)
    for user in USERS:
        line = address(told.redis, user.name, passwords[user.name], told.ca)
        text = f"HIPPOCAMP_REDIS_URL={line}\nHIPPOCAMP_CACHE_REDIS_URL={cache}\n"
        _write(told.folder / f"{user.name}.env", text)
        shown.append(f"{user.name.upper()}_REDIS_URL={line}\n")
    _write(told.folder / "compose.env", "".join([*shown, f"CACHE_REDIS_URL={cache}\n"]))


def address(host: str, user: str, password: str, ca: str) -> str:
    """A Redis URL; with TLS, by a certificate of the authority in the file `ca`, unless that is ""."""
    if not ca:
        return f"redis://{user}:{password}@{host}/0"
    return f"rediss://{user}:{password}@{host}/0?ssl_cert_reqs=required&ssl_ca_certs={ca}"


def _write(path: Path, text: str) -> None:
    """Readable by its owner only."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as out:
        out.write(text)


if __name__ == "__main__":
    main()
