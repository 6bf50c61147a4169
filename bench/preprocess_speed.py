"""What preprocessing costs: seconds of every step, the peak memory, and how two processes share two cores."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from preprocessing_service import pipeline


@dataclass(frozen=True)
class Speed:
    """Medians of repeated runs: cpu and wall seconds of all, wall seconds of each step; memory in MB."""

    name: str
    cpu: float
    wall: float
    steps: dict[str, float]
    megabytes: float


def speed(file: Path, repeats: int) -> Speed:
    """Warm runs of the whole path over one file, and the peak memory of a fresh process doing it once."""
    pipeline.examine(file)
    cpu, wall, steps = [], [], []
    for _ in range(repeats):
        begun = time.process_time(), time.perf_counter()
        stack, _ = pipeline.examine(file)
        cpu.append(time.process_time() - begun[0])
        wall.append(time.perf_counter() - begun[1])
        steps.append(stack.seconds)
    medians = {step: statistics.median(one[step] for one in steps) for step in pipeline.STEPS}
    return Speed(file.name, statistics.median(cpu), statistics.median(wall), medians, cost(file).megabytes)


@dataclass(frozen=True)
class Cost:
    """Of a fresh process that prepares one file: its peak memory in MB, and its answer, "ok" or a code."""

    megabytes: float
    answer: str


def cost(file: Path) -> Cost:
    """Import the library in a new process, prepare the file once, and ask the kernel."""
    code = (
        "import sys; from pathlib import Path\n"
        "from contracts.errors import HippocampError; from preprocessing_service import prepare\n"
        "try: prepare(Path(sys.argv[1])); answer = 'ok'\n"
        "except HippocampError as error: answer = error.code\n"
        "status = open('/proc/self/status').read(); print(status.split('VmHWM:')[1].split()[0], answer)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], check=True, capture_output=True, text=True)
    peak, answer = done.stdout.split()  # getrusage would tell our own peak, which a child inherits
    return Cost(float(peak) / 1024, answer)


HEADS_CODE = "from preprocessing_service.pipeline import examine as work; task = Path(sys.argv[2])"
SUMS_CODE = """
import numpy as np
task = np.ones((96, 96), np.float32)
def work(task):
    for _ in range(4000): task @ task
"""
"""Products that stay in a core's own first cache: they share nothing with the other core but its clock."""


def scaling(file: Path, repeats: int = 6) -> float:
    """How many times more heads a second two processes prepare than one."""
    return _two_over_one(HEADS_CODE, repeats, str(file))


def ceiling(repeats: int = 20) -> float:
    """The same of arithmetic that shares nothing: what the machine's two cores are worth."""
    return _two_over_one(SUMS_CODE, repeats)


def _two_over_one(code: str, repeats: int, *arguments: str) -> float:
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        f"{code}\nwork(task); print('warm', flush=True); sys.stdin.readline()\n"
        "begun = time.perf_counter()\nfor _ in range(int(sys.argv[1])): work(task)\n"
        "print(time.perf_counter() - begun)"
    )

    def run(count: int) -> float:
        command = [sys.executable, "-c", code, str(repeats), *arguments]
        processes_started = [subprocess.Popen(command, stdin=-1, stdout=-1, text=True) for _ in range(count)]
        for one in processes_started:
            one.stdout.readline()  # type: ignore[union-attr]
        for one in processes_started:
            one.stdin.write("go\n")  # type: ignore[union-attr]
            one.stdin.flush()  # type: ignore[union-attr]
        return count * repeats / max(float(one.communicate()[0]) for one in processes_started)

    return run(2) / run(1)
