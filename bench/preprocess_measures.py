"""How exact preprocessing is: every disturbed head against its undisturbed self and against deepbet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.heads import Variant, load_head, orders, variants
from bench.preprocess_reference import known_mask
from contracts.errors import QualityRefused
from imaging.grid import GRID_TO_MNI, TRAINING, Grid
from preprocessing_service import pipeline, pipeline_digest
from preprocessing_service.brain_extraction.network import coarse_network
from preprocessing_service.coarse import coarsen
from preprocessing_service.sampling import sample
from preprocessing_service.steps.bias import estimate
from preprocessing_service.steps.conform import conform
from preprocessing_service.steps.normalise import normalise
from preprocessing_service.steps.quality import Prepared, measure
from preprocessing_service.steps.resample import resample
from preprocessing_service.steps.rules import judge
from preprocessing_service.steps.strip import strip
from preprocessing_service.template import load_template
from preprocessing_service.volume import Matrix, Volume

Pair = tuple[Prepared, Prepared]
Values = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Exactness:
    """One disturbed head against its undisturbed self.

    error: mean mm over the brain. likeness: correlation of the slices. refused: the gate's code or nothing.
    dice: against deepbet as shipped, NaN where that was not run. field_before, field_after: standard
    deviation of the log field in white matter that was put on, and that is left; of an undisturbed head, the
    spread of its white matter's log intensity as it came and as it leaves. shift: the largest change of a
    probability of the shipped model. digest: the pipeline that was measured.
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
    shift: float = 0.0
    digest: str = field(default_factory=pipeline_digest)


def examine(volume: Volume) -> Prepared:
    """The steps on a volume that is in memory already."""
    template, seen = load_template(), conform(volume)
    brain = strip(seen, coarse_network)
    coarse = coarsen(seen, brain)
    alignment = pipeline.align(seen, (brain, coarse), template)
    better = pipeline.look_again(seen, (brain, coarse, alignment), template)
    brain, coarse, alignment = better or (brain, coarse, alignment)
    tissues = estimate(coarse, alignment, template.priors)
    slices = normalise(resample(seen, brain, alignment, tissues), tissues, coarse.unit)
    return Prepared(seen, brain, coarse, alignment, tissues, slices, better is not None)


def exactness(
    name: str, *, quick: bool, known: Callable[[str], Exactness | None] = lambda _: None
) -> Iterator[Exactness]:
    """Every variant of one head, itself first; unless quick, every axis order included.

    known: the row of a variant that was measured before.
    """
    head = load_head(name)
    base = head, examine(head)
    every = [Variant("undisturbed", head, np.eye(4))], variants(head, quick=quick)
    for variant in chain(*every):
        yield known(variant.name) or compare(name, variant, base)
    for variant in () if quick else orders(head):
        yield known(variant.name) or compare(name, variant, base, stripping=False)


def compare(
    name: str, variant: Variant, base: tuple[Volume, Prepared], *, stripping: bool = True
) -> Exactness:
    """One variant against its head; a mirrored header is compared with the head mirrored in the template."""
    head, plain = base
    found = examine(variant.volume)
    back = np.linalg.inv(variant.moved) @ found.alignment.matrix
    wanted, slices = plain.alignment.matrix, plain.slices
    if np.linalg.det(back[:3, :3]) < 0:
        back, slices = back @ MIRROR, mirrored(plain)
    error = apart(back, wanted)
    one, other = found.slices.ravel().astype(float), slices.ravel().astype(float)
    shift = 0.0
    if not np.array_equal(found.slices, slices):
        shift = float(np.abs(probabilities(found.slices) - probabilities(slices)).max())
    before, after = field_left(head, variant, (plain, found))
    dice = dice_to_deepbet(found) if stripping else float("nan")
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
        shift,
    )


def apart(one: Matrix, other: Matrix) -> float:
    """Mean distance in mm between two placements of the template's brain."""
    points = load_template().brain
    return float(np.linalg.norm(points @ (one - other)[:3, :3].T + (one - other)[:3, 3], axis=1).mean())


def mirrored(plain: Prepared) -> npt.NDArray[np.uint8]:
    """The undisturbed head's slices with left and right exchanged in template space."""
    seen = resample(
        plain.volume,
        plain.brain,
        plain.alignment,
        plain.tissues,
        grid=Grid(MIRROR @ GRID_TO_MNI, TRAINING.shape),
    )
    return normalise(seen, plain.tissues, plain.coarse.unit)


def refusal(found: Prepared) -> str:
    """The code the gate would give, or an empty string."""
    try:
        judge(measure(found, load_template()))
    except QualityRefused as error:
        return error.code
    return ""


def white_voxels(head: Volume, plain: Prepared) -> tuple[Index, Values]:
    """Voxels of the undisturbed head that are white matter, (n, 3), and the field's terms there, (n, 20)."""
    priors = load_template().priors
    sure = priors.shares[:, 2] > 0.8
    to_voxel = np.linalg.inv(head.affine) @ plain.alignment.matrix
    index = np.rint(priors.points[sure] @ to_voxel[:3, :3].T + to_voxel[:3, 3]).astype(int)
    lit = head.voxels[tuple(index.T)] > 0
    return index[lit], priors.basis[sure][lit].astype(float)


def put_on_at(head: Volume, biased: Volume, index: Index) -> Values:
    """(n,) logarithm of the field that the disturbed head was multiplied by."""
    return np.log(biased.voxels[tuple(index.T)] / head.voxels[tuple(index.T)]).astype(float)


def white_spread(plain: Prepared) -> tuple[float, float]:
    """Spread of white matter's log intensity at 2 mm before and after our field is taken away.

    A head that came without a field must not get one: the second figure may not exceed the first.
    """
    priors, brain = load_template().priors, plain.coarse.brain
    to_voxel = np.linalg.inv(brain.affine) @ plain.alignment.matrix
    seen = sample(brain.voxels, to_voxel, priors.points)
    white = (priors.shares[:, 2] > 0.8) & (seen > 0.5)
    logs = np.log(seen[white])
    return float(logs.std()), float((logs - priors.basis[white] @ plain.tissues.field).std())


def field_left(head: Volume, variant: Variant, found: Pair) -> tuple[float, float]:
    """Spread in white matter of the log field put on, and of what is left of it; NaN without one."""
    if variant.name == "undisturbed":
        return white_spread(found[0])
    if not variant.name.startswith("bias"):
        return float("nan"), float("nan")
    plain, given = found
    index, terms = white_voxels(head, plain)
    put_on = put_on_at(head, variant.volume, index)
    removed = terms @ (given.tissues.field - plain.tissues.field)
    return float(put_on.std()), float((put_on - removed).std())


def dice_to_deepbet(found: Prepared) -> float:
    """Dice of our mask and the one deepbet makes as shipped, on the volume's own voxels."""
    from scipy.ndimage import map_coordinates

    theirs, cells = known_mask(found.volume), found.brain.inside.shape[0]
    axes = [(np.arange(n) + 0.5) * cells / n - 0.5 for n in found.volume.shape]
    at = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    ours = map_coordinates(found.brain.inside, at, order=1, mode="nearest") > 0.5
    return float(2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()))


@cache
def _model() -> Any:
    from model_store.release.digest import RELEASE
    from model_store.served.model import Model

    return Model(RELEASE)


def probabilities(slices: npt.NDArray[np.uint8]) -> Values:
    """(3,) of the shipped int8 model for one stack."""
    return np.asarray(_model().answer(slices[np.newaxis])["probabilities"][0], float)
