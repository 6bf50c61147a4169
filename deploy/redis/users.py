"""What each service may do in Redis: names of keys, and commands, as Redis's ACL says it (6.2 and later)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from jobstore.keys import PREFIX

CONNECTION = "+ping +hello +auth +select +echo +multi +exec +discard +watch +unwatch +time +wait"
SCRIPTS = "+eval +evalsha +script|load +script|exists"
DATA = "+@read +@write -@dangerous -@admin -scan -randomkey -dbsize"
"""No FLUSHALL, KEYS, CONFIG, DEBUG, MONITOR, SHUTDOWN; nor a way to ask which keys there are."""

READS = "+@read -@dangerous -@admin +info -scan -randomkey -dbsize"

QUEUES = ("preprocess*", "infer*", "deliver*", "maintain*", "_kombu.*", "unacked*")
"""Celery's lists, and kombu's own; priorities are further lists with the queue's name in front."""

LINE = (
    "artifact_prefixes", "batch", "batches_unused", "bytes", "cards", "claims", "configured", "content",
    "count", "count_of", "deadlines", "deliveries", "deliveries_of", "deliveries_owed", "deployed",
    "depth", "done", "drained", "endpoints", "endpoints_off", "health", "inbox", "jobs", "jobs_of",
    "later", "lease", "longer", "owed", "pace", "pending_deletions", "quarantine", "reading", "rec",
    "site", "sites", "stale_results", "sweep", "totals", "turn", "uploads_in_use", "vtime", "wait",
    "withdrawals", "withdrawn", "workers",
)  # fmt: skip
"""What moving a job touches (jobstore/lua/prelude.lua), by the part of the name behind the prefix."""

ANSWERS = ("cached_names", "cache")
SECRETS = (
    "key", "keys", "load", "login", "logins", "operator_events", "rate", "session", "sessions", "upload",
    "uploads",
)  # fmt: skip
"""Hashes of API keys, sessions, tickets, what operators did: the gateway's and the operator's alone."""

WATCHED = (
    "count", "deployed", "depth", "done", "drained", "health", "inbox", "jobs", "later", "lease", "owed",
    "pace", "pending_deletions", "quarantine", "sites", "totals", "turn", "wait", "workers",
)  # fmt: skip


@dataclass(frozen=True)
class User:
    """keys: patterns. commands: rules of Redis's ACL, in order."""

    name: str
    keys: tuple[str, ...]
    commands: tuple[str, ...] = (CONNECTION, SCRIPTS, DATA)

    def rule(self, password: str) -> str:
        """A line of an ACL file; only the password's hash stands in it."""
        hashed = hashlib.sha256(password.encode()).hexdigest()
        keys = " ".join(f"~{key}" for key in self.keys)
        return f"user {self.name} on #{hashed} resetkeys {keys} resetchannels -@all {' '.join(self.commands)}"


def _line(*more: str) -> tuple[str, ...]:
    return (*QUEUES, *_named(*LINE, *more))


def _named(*heads: str) -> tuple[str, ...]:
    """`depth` is one key, `rec` many, each with a part behind it; no name that only begins alike."""
    return tuple(pattern for head in heads for pattern in (f"{PREFIX}:{head}", f"{PREFIX}:{head}:*"))


USERS = (
    User("gateway", _line(*ANSWERS, *SECRETS)),
    User("preprocessing", _line()),
    User("infer", _line(*ANSWERS, "asked", "canary")),
    User("deliver", _line("failures", "resting")),
    User(
        "maintain",
        _line(
            *ANSWERS,
            "asked",
            "canary",
            "failures",
            "resting",
            "retention",
            "orphan_rounds",
            "orphaned_uploads",
        ),
    ),
    User(
        "exporter",
        _named(*WATCHED),
        (CONNECTION, READS),
    ),
    User("operator", _line(*ANSWERS, *SECRETS)),
)
"""Every process that talks to the job store's server, by its name in containers; `operator`: `hippocamp`."""

CACHE = User("cache", _named("cache"), (CONNECTION, SCRIPTS, DATA))
"""The one user of the server that may forget."""

PROBE = "user default on nopass resetkeys resetchannels -@all +ping"
"""Health checks of the container may ask whether it lives, and nothing else."""


def acl_file(passwords: Mapping[str, str], users: tuple[User, ...] = USERS) -> str:
    """The text of users.acl; KeyError for a user without password."""
    return "\n".join([PROBE, *(user.rule(passwords[user.name]) for user in users)]) + "\n"
