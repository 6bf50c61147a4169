"""What one scan costs in a fresh process on one thread: `python -m bench.anatomy.cost SCAN` prints JSON."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from preprocessing_service.anatomy.measurement import measure
from preprocessing_service.pipeline import examine

ROUNDS = 5


@dataclass(frozen=True)
class Cost:
    """seconds: CPU of measuring a prepared head, median. preprocessing: CPU before it. megabytes: peaks."""

    seconds: float
    preprocessing: float
    megabytes: float
    megabytes_before: float


def cost_of(path: Path) -> Cost:
    """Measured in a process of its own."""
    command = [sys.executable, "-m", "bench.anatomy.cost", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=900)
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def main(path: Path) -> None:
    """Print the figures of this process."""
    examine(path)  # compiled loops and networks are loaded
    begun = time.process_time()
    _, head = examine(path)
    preprocessing, before = time.process_time() - begun, _peak()
    measure(head)
    spent = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        measure(head)
        spent.append(time.process_time() - begun)
    print(json.dumps(vars(Cost(statistics.median(spent), preprocessing, _peak(), before))))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]))
