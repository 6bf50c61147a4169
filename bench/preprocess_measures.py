"""What `bench.preprocess` measures: seconds, memory, and how exact each step is against known answers."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.heads import Variant, load_head, orders, variants
from contracts.errors import QualityRefused
from contracts.grid import GRID_TO_MNI
from preprocessing_service import pipeline
from preprocessing_service.coarse import coarsen
from preprocessing_service.network import coarse_network
from preprocessing_service.steps.bias import estimate
from preprocessing_service.steps.conform import conform
from preprocessing_service.steps.normalise import normalise
from preprocessing_service.steps.quality import Prepared, judge, measure
from preprocessing_service.steps.register import register
from preprocessing_service.steps.resample import resample
from preprocessing_service.steps.strip import strip
from preprocessing_service.template import load_template
from preprocessing_service.volume import Matrix, Volume

Pair = tuple[Prepared, Prepared]
MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Speed:
    """Medians of repeated runs: cpu and wall seconds of all, wall seconds of each step; memory in MB."""

    name: str
    cpu: float
    wall: float
    steps: dict[str, float]
    megabytes: float


@dataclass(frozen=True)
class Exactness:
    """One disturbed head against its undisturbed self.

    error: mean mm over the brain. likeness: correlation of the slices. refused: the gate's code or nothing.
    dice: against deepbet as shipped, NaN where that was not run. field_before, field_after: standard
    deviation of the log field in white matter that was put on, and that is left.
    """

    head: str
    variant: str
    error: float
    likeness: float
    refused: str
    dice: float = float("nan")
    field_before: float = float("nan")
    field_after: float = float("nan")
    escalated: bool = False


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
    return Speed(file.name, statistics.median(cpu), statistics.median(wall), medians, peak_memory(file))


def peak_memory(file: Path) -> float:
    """MB of a fresh process that imports the library and prepares the file once."""
    code = (
        "import resource, sys; from pathlib import Path; from preprocessing_service.pipeline import examine;"
        "examine(Path(sys.argv[1])); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], check=True, capture_output=True, text=True)
    return float(done.stdout)


def scaling(file: Path, repeats: int = 6) -> float:
    """How many times more heads a second two processes prepare than one."""
    code = (
        "import sys, time; from pathlib import Path; from preprocessing_service.pipeline import examine;"
        "f = Path(sys.argv[1]); examine(f); print('warm', flush=True); sys.stdin.readline();"
        "t = time.perf_counter();"
        "[examine(f) for _ in range(int(sys.argv[2]))]; print(time.perf_counter() - t)"
    )

    def run(count: int) -> float:
        command = [sys.executable, "-c", code, str(file), str(repeats)]
        crew = [subprocess.Popen(command, stdin=-1, stdout=-1, text=True) for _ in range(count)]
        for one in crew:
            one.stdout.readline()  # type: ignore[union-attr]
        for one in crew:
            one.stdin.write("go\n")  # type: ignore[union-attr]
            one.stdin.flush()  # type: ignore[union-attr]
        return count * repeats / max(float(one.communicate()[0]) for one in crew)

    return run(2) / run(1)


def examine(volume: Volume) -> Prepared:
    """The steps on a volume that is in memory already."""
    template, seen = load_template(), conform(volume)
    brain = strip(seen, coarse_network)
    coarse = coarsen(seen, brain)
    alignment = register(coarse, template)
    better = pipeline.look_again(seen, (brain, coarse, alignment), template)
    brain, coarse, alignment = better or (brain, coarse, alignment)
    tissues = estimate(coarse, alignment, template.priors)
    slices = normalise(resample(seen, brain, alignment, tissues), tissues, coarse.unit)
    return Prepared(seen, brain, coarse, alignment, tissues, slices, better is not None)


def exactness(name: str, *, quick: bool, deepbet: bool) -> list[Exactness]:
    """Every variant of one head, each axis order included unless quick."""
    head = load_head(name)
    plain, rows = examine(head), []
    for variant in variants(head, quick=quick):
        rows.append(compare(name, variant, (head, plain), deepbet=deepbet))
    if not quick:
        rows += [compare(name, variant, (head, plain), deepbet=False) for variant in orders(head)]
    return rows


def compare(name: str, variant: Variant, base: tuple[Volume, Prepared], *, deepbet: bool) -> Exactness:
    """One variant against its head; a mirrored header is compared with the head mirrored in the template."""
    head, plain = base
    found = examine(variant.volume)
    back = np.linalg.inv(variant.moved) @ found.alignment.matrix
    wanted, slices = plain.alignment.matrix, plain.slices
    if np.linalg.det(back[:3, :3]) < 0:
        back, slices = back @ MIRROR, mirrored(plain)
    error = apart(back, wanted)
    one, other = found.slices.ravel().astype(float), slices.ravel().astype(float)
    before, after = field_left(head, variant, (plain, found))
    dice = dice_to_deepbet(found) if deepbet else float("nan")
    refused = refusal(found)
    return Exactness(
        name,
        variant.name,
        error,
        float(np.corrcoef(one, other)[0, 1]),
        refused,
        dice,
        before,
        after,
        found.escalated,
    )


def apart(one: Matrix, other: Matrix) -> float:
    """Mean distance in mm between two placements of the template's brain."""
    points = load_template().brain
    return float(np.linalg.norm(points @ (one - other)[:3, :3].T + (one - other)[:3, 3], axis=1).mean())


def mirrored(plain: Prepared) -> npt.NDArray[np.uint8]:
    """The undisturbed head's slices with left and right exchanged in template space."""
    seen = resample(plain.volume, plain.brain, plain.alignment, plain.tissues, grid=MIRROR @ GRID_TO_MNI)
    return normalise(seen, plain.tissues, plain.coarse.unit)


def refusal(found: Prepared) -> str:
    """The code the gate would give, or an empty string."""
    try:
        judge(measure(found, load_template()))
    except QualityRefused as error:
        return error.code
    return ""


def field_left(head: Volume, variant: Variant, found: Pair) -> tuple[float, float]:
    """Spread in white matter of the log field put on, and of what is left of it; NaN without one."""
    if not variant.name.startswith("bias"):
        return float("nan"), float("nan")
    priors, (plain, biased) = load_template().priors, found
    white = priors.points[priors.shares[:, 2] > 0.8]
    to_voxel = np.linalg.inv(head.affine) @ plain.alignment.matrix
    index = tuple(np.rint(white @ to_voxel[:3, :3].T + to_voxel[:3, 3]).astype(int).T)
    lit = head.voxels[index] > 0
    put_on = np.log(variant.volume.voxels[index][lit] / head.voxels[index][lit])
    terms = priors.basis[priors.shares[:, 2] > 0.8][lit]
    removed = terms @ (biased.tissues.field - plain.tissues.field)
    return float(put_on.std()), float((put_on - removed).std())


def dice_to_deepbet(found: Prepared) -> float:
    """Dice of our mask and the one deepbet makes as shipped, on the volume's own voxels."""
    from deepbet.bet import BrainExtraction
    from scipy.ndimage import map_coordinates

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shipped = BrainExtraction(no_gpu=True)
        voxels = np.ascontiguousarray(found.volume.voxels, dtype=np.float32)
        theirs = shipped.postprocess(shipped.run_model(voxels) > 0.5) > 0
    axes = [(np.arange(n) + 0.5) * 128 / n - 0.5 for n in found.volume.shape]
    at = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    ours = map_coordinates(found.brain.inside, at, order=1, mode="nearest") > 0.5
    return float(2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()))


def deepbet_seconds(head: Volume) -> float:
    """CPU seconds of deepbet as shipped on one head, one thread."""
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    dice_to_deepbet(examine(head))
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime - begun
