"""Every kind of input in the sandbox, where nothing can be opened: it keeps what plain code keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.errors import HippocampError
from gateway.uploads.sanitize.pool import SandboxPool
from gateway.uploads.sanitize.task import KINDS, Limits, Task
from imaging.sniff import PEEK, sniff
from tests.inputs.test_inputs import FRAMES, READ, REFUSED, VOLUMES, Case, stored

pytestmark = [pytest.mark.inputs, pytest.mark.integration]

ALL: dict[str, Case] = READ | VOLUMES | FRAMES | REFUSED


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    """The limited readers of a gateway."""
    pool = SandboxPool(Limits())
    pool.start()
    yield pool
    pool.stop()


def outcome(keep: Callable[[], bytes]) -> bytes | str:
    """What is kept, or the code of the refusal."""
    try:
        return keep()
    except HippocampError as error:
        return error.code


@pytest.mark.parametrize("name", ALL)
def test_the_sandbox_keeps_the_same(pool: SandboxPool, name: str, tmp_path: Path) -> None:
    data = ALL[name].make()

    def sandboxed() -> bytes:
        sent, out = tmp_path / "sent", tmp_path / "out"
        sent.write_bytes(data)
        with sent.open("rb") as file, out.open("w+b") as kept:
            kind = KINDS[sniff(file.read(PEEK)).media]
            file.seek(0)
            pool.sanitize(Task(kind, 64 << 20), file, kept)
        return out.read_bytes()

    wanted = outcome(lambda: stored(data))
    assert outcome(sandboxed) == wanted
