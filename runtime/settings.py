"""Readers of the environment: typed, read once at start, refusing nonsense with a sentence."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


class SettingError(SystemExit):
    """A setting is missing or makes no sense; the service must not start."""


def env_text(name: str, default: str | None = None) -> str:
    """HIPPOCAMP_<name>, or the default; SettingError when neither is there."""
    value = os.environ.get(f"HIPPOCAMP_{name}", default)
    if value is None:
        raise SettingError(f"HIPPOCAMP_{name} is not set and has no default")
    return value


def env_number(name: str, default: float, *, least: float = 0, most: float = float("inf")) -> float:
    """A finite number within bounds."""
    text = env_text(name, str(default))
    try:
        value = float(text)
    except ValueError:
        raise SettingError(f"HIPPOCAMP_{name}={text!r} is not a number") from None
    if not least <= value <= most:
        raise SettingError(f"HIPPOCAMP_{name}={text} must lie between {least:g} and {most:g}")
    return value


def env_count(name: str, default: int, *, least: int = 0, most: int = 2**53) -> int:
    """A whole number within bounds."""
    value = env_number(name, default, least=least, most=most)
    if value != int(value):
        raise SettingError(f"HIPPOCAMP_{name}={value} is not a whole number")
    return int(value)


def env_flag(name: str, *, default: bool) -> bool:
    """1/true/yes/on or 0/false/no/off."""
    text = env_text(name, "1" if default else "0").lower()
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"0", "false", "no", "off"}:
        return False
    raise SettingError(f"HIPPOCAMP_{name}={text!r} is neither yes nor no")


def env_redis(name: str, default: str) -> str:
    """The address of a Redis; "" only where that is the default."""
    url = env_text(name, default)
    if url == "" == default:
        return url
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        named = {"redis": parts.hostname, "rediss": parts.hostname, "unix": parts.path, "sentinel": host}
        good = bool(named.get(parts.scheme)) and (parts.scheme == "sentinel" or parts.port != 0)
    except ValueError:
        good = False
    if not good:
        shown = f"...@{url.rpartition('@')[2]}" if "@" in url else url
        raise SettingError(
            f"HIPPOCAMP_{name}={shown!r} is no address of Redis: redis://host:6379/0, rediss://, unix:// or"
            " sentinel://host:26379,host:26379/name/0 are"
        )
    return url


def env_folder(name: str, default: str) -> Path:
    """A folder that is there and may be written."""
    path = Path(env_text(name, default))
    if not (path.is_dir() and os.access(path, os.W_OK)):
        raise SettingError(f"HIPPOCAMP_{name}={path} is no folder that this service may write to")
    return path


def _blobs() -> str:
    """A folder, which may come later (a volume being mounted), or a store that fsspec knows."""
    place = env_text("BLOBS", str(Path(".run/blobs").resolve()))
    scheme, remote, _ = place.partition("://")
    if remote:
        from fsspec import available_protocols

        if scheme not in available_protocols():
            raise SettingError(
                f"HIPPOCAMP_BLOBS={place!r}: {scheme}:// is no store that is known; s3:// is one"
            )
    if not place:
        raise SettingError("HIPPOCAMP_BLOBS is empty: name a folder or s3://bucket/prefix")
    return place


@dataclass(frozen=True)
class Shared:
    """What every service needs to meet the others.

    redis_replicas: how many replicas must hold a submission or an erasure before it is acknowledged.
    cache_redis_url: a server that may forget, for finished results; "" keeps them beside the job store.
    disk_reserve_bytes: what stays free of every disk, at most a tenth of it: with less no volume is taken,
        and with half of that no worker stores anything.
    redis_folder: Redis's data as this machine sees it; "" when it does not, or when the blobs lie beside it.
    """

    redis_url: str = field(default_factory=lambda: env_redis("REDIS_URL", "redis://127.0.0.1:6390/0"))
    redis_replicas: int = field(default_factory=lambda: env_count("REDIS_REPLICAS", 0, most=5))
    cache_redis_url: str = field(default_factory=lambda: env_redis("CACHE_REDIS_URL", ""))
    blobs: str = field(default_factory=_blobs)
    lease_seconds: float = field(default_factory=lambda: env_number("LEASE_SECONDS", 20, least=1, most=3600))
    disk_reserve_bytes: int = field(default_factory=lambda: env_count("DISK_RESERVE_BYTES", 2 << 30))
    redis_folder: str = field(default_factory=lambda: env_text("REDIS_FOLDER", ""))
    cache_seconds: int = field(default_factory=lambda: env_count("CACHE_SECONDS", 30 * 86400, least=1))
