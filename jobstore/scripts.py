"""The Lua scripts of the job store, loaded once, run in one round trip each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis

from contracts.errors import NotReplicated

_LUA = Path(__file__).parent / "lua"
_NAMES = (
    "submit", "claim", "renew", "commit", "release", "cancel", "reap", "position", "replay", "reopen",
    "erase", "rescore", "room", "withdraw", "replace_upload", "orphans",
    "inbox_add", "inbox_claim", "inbox_settle", "inbox_close", "inbox_forget",
)  # fmt: skip
_REPLICATED_MS = 500


class Scripts:
    """Every script with the prelude they share, by name."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        prelude = (_LUA / "prelude.lua").read_text()
        self._named = {n: client.register_script(prelude + (_LUA / f"{n}.lua").read_text()) for n in _NAMES}

    def load(self) -> None:
        """Have Redis know them all: it forgets them when it restarts."""
        for script in self._named.values():
            self._redis.script_load(script.script)

    def digests(self) -> dict[str, str]:
        """Name -> SHA-1 under which Redis knows it."""
        return {name: str(script.sha) for name, script in self._named.items()}

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
        """As `run`; NotReplicated, with the write done here, when too few replicas have it in time.

        WAIT asks about the writes of its own connection. Both commands go out together, so that a connection
        that breaks in between takes the script along when the client repeats them on a new one: WAIT alone
        would be answered there at once. Every replicated script writes, also when it finds its work done.
        """
        if not replicas:
            return self.run(name, args)
        try:
            answer, held = self._with_wait(name, args, replicas)
        except redis.exceptions.NoScriptError:
            self.load()
            answer, held = self._with_wait(name, args, replicas)
        if held < replicas:
            raise NotReplicated(f"Written, but {held} of {replicas} replicas hold it; ask again soon")
        return answer

    def _with_wait(self, name: str, args: Sequence[str | float], replicas: int) -> tuple[Any, int]:
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.evalsha(self._named[name].sha, 0, *args)
            pipe.execute_command("WAIT", replicas, _REPLICATED_MS)  # type: ignore[no-untyped-call]
            answer, held = pipe.execute()
        return answer, int(held)
