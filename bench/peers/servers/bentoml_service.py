"""BentoML: one worker a core, the volume as a file part, a time limit that no job here reaches."""

from __future__ import annotations

from pathlib import Path

import bentoml

from bench.peers.functions import answer, load


@bentoml.service(workers=2, traffic={"timeout": 600}, threads=1)
class Heads:
    """POST /score with a multipart part `volume`."""

    def __init__(self) -> None:
        load()

    @bentoml.api
    def score(self, volume: Path) -> dict[str, list[float]]:
        return answer(volume)
