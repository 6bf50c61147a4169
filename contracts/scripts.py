"""The Lua scripts of the line, loaded once, run in one round trip each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import redis

from contracts.errors import NotReplicated

_LUA = Path(__file__).parent / "lua"
_NAMES = (
    "submit", "claim", "renew", "commit", "release", "cancel", "reap", "position", "replay", "reopen",
    "erase", "rescore", "room",
)  # fmt: skip
_REPLICATED_MS = 500


class Scripts:
    """Every script with the prelude they share, by name."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        prelude = (_LUA / "prelude.lua").read_text()
        self._named = {n: client.register_script(prelude + (_LUA / f"{n}.lua").read_text()) for n in _NAMES}

    def run(self, name: str, args: Sequence[str | float]) -> Any:
        """What the script returns."""
        return self._named[name](args=args)

    def run_each(self, name: str, many: Sequence[Sequence[str | float]]) -> list[Any]:
        """What the script returns for each of many arguments, asked in one go."""
        with self._redis.pipeline(transaction=False) as pipe:
            for args in many:
                self._named[name](args=args, client=pipe)
            return list(pipe.execute())

    def run_replicated(self, name: str, args: Sequence[str | float], *, replicas: int) -> Any:
        """As `run`; NotReplicated, with the write done here, when too few replicas have it in time."""
        if not replicas:
            return self.run(name, args)
        with self._redis.client() as one:  # type: ignore[no-untyped-call]  # WAIT asks about its own connection
            answer = self._named[name](args=args, client=one)
            held = int(cast("Any", one.wait(replicas, _REPLICATED_MS)))
        if held < replicas:
            raise NotReplicated(f"Written, but {held} of {replicas} replicas hold it; ask again soon")
        return answer
