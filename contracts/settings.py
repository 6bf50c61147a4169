"""Readers of the environment: typed, read once at start, refusing nonsense with a sentence."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path


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


def _blobs_default() -> str:
    return env_text("BLOBS", str(Path(".run/blobs").resolve()))


@dataclass(frozen=True)
class Shared:
    """What every service needs to meet the others.

    redis_replicas: how many replicas must hold a submission or an erasure before it is acknowledged.
    cache_redis_url: a server that may forget, for finished results; "" keeps them beside the line.
    """

    redis_url: str = field(default_factory=lambda: env_text("REDIS_URL", "redis://127.0.0.1:6390/0"))
    redis_replicas: int = field(default_factory=lambda: env_count("REDIS_REPLICAS", 0, most=5))
    cache_redis_url: str = field(default_factory=lambda: env_text("CACHE_REDIS_URL", ""))
    blobs: str = field(default_factory=_blobs_default)
    lease_seconds: float = field(default_factory=lambda: env_number("LEASE_SECONDS", 20, least=1, most=3600))
    cache_seconds: int = field(default_factory=lambda: env_count("CACHE_SECONDS", 30 * 86400, least=1))
