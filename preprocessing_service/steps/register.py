"""Step 4: the affine from the MNI152 template to the head, by Gauss-Newton on the brain.

Inverse compositional alignment (Baker and Matthews 2004, IJCV 56:221): the derivatives are the template's, so
they are computed once for all heads. Gain, a gain that varies smoothly over the brain, and an offset are
solved together with the twelve parameters, so no bias correction is needed first. Two levels see the stripped
brain and find the place; the last one looks only inside the template's brain and at the unstripped head, so
that the exact place of the mask's edge does not matter. Huber weights keep lesions and vessels from pulling.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contracts.errors import RegistrationFailed
from preprocessing_service.coarse import CoarseHead, Picture, blurred, halved
from preprocessing_service.compiled import compiled
from preprocessing_service.sampling import OUTSIDE, sample
from preprocessing_service.template import REACH, Level, Template
from preprocessing_service.volume import Matrix

Floats = npt.NDArray[np.float32]
STARTS = ((0, 0, 0), *((a, 0, 0) for a in (-50, -25, 25, 50)), *((0, a, 0) for a in (-40, -20, 20, 40)),
          *((0, 0, a) for a in (-40, -20, 20, 40)))  # fmt: skip
"""Degrees about x, y, z the search begins at: each converges from some 25 degrees away."""

KEPT = 3
ROUNDS = (4, 12, 10, 10)
"""Gauss-Newton rounds: every start (similarity), kept starts (affine), then the two finer levels."""

REWEIGHTED = 3
"""Rounds after which the weights stay: by then the outliers are known, and a round costs a third."""

STILL = 0.02
"""mm of movement below which a level has converged."""

HUBER = 1.5
"""Robust standard deviations beyond which a residual counts linearly."""

TINY = 1e-6
BRIGHT = np.float32(0.3)
"""Of the brain's median."""

SIMILARITY = np.array([
    [0, 0, 0, 0, 0, 0, -1, 0, 0, 1, 0, 0],
    [0, 0, 1, 0, 0, 0, 0, 0, -1, 0, 0, 0],
    [0, -1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
    [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0],
    [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
], dtype=np.float32)  # fmt: skip
"""(7, 12): three rotations, one scale, three shifts, in the affine's parameters."""


@dataclass(frozen=True)
class Alignment:
    """matrix: (4, 4), MNI mm -> mm in the head's world. residual: unexplained share of the variance."""

    matrix: Matrix
    residual: float


def register(head: CoarseHead, template: Template) -> Alignment:
    """Find the affine that lays the template on the brain; RegistrationFailed when the solve breaks down."""
    with converging():
        return _coarse_to_fine(head, template)


@contextmanager
def converging() -> Iterator[None]:
    """A solve that breaks down becomes RegistrationFailed."""
    try:
        with np.errstate(all="raise", under="ignore"):
            yield
    except (np.linalg.LinAlgError, FloatingPointError) as error:
        raise RegistrationFailed(
            "The template could not be laid on the brain that was found. "
            "Send a T1-weighted series of the whole head, upright and complete."
        ) from error


def _coarse_to_fine(head: CoarseHead, template: Template) -> Alignment:
    coarse, middle, fine = template.levels
    small = halved(head.brain)  # cells of 4 mm are fine enough for what is blurred by 3 mm and more
    brain = blurred(small, coarse.blur)
    first = first_guess(head.brain, template)
    tried = []
    for start in STARTS:
        begun = first @ about(template.centre, rotation(start))
        tried.append(Solver(coarse, template.centre, similarity=True).run(brain, begun, ROUNDS[0]))
    tried.sort(key=lambda alignment: alignment.residual)
    solver = Solver(coarse, template.centre)
    found = min(
        (solver.run(brain, alignment.matrix, ROUNDS[1]) for alignment in tried[:KEPT]),
        key=lambda alignment: alignment.residual,
    )
    for level, picture, rounds in zip((middle, fine), (small, head.whole), ROUNDS[2:], strict=True):
        solver = Solver(level, template.centre, robust=True)
        found = solver.run(blurred(picture, level.blur), found.matrix, rounds)
    return found


class Solver:
    """Gauss-Newton on one level: head(matrix @ p) = design @ (affine step, gains, offset)."""

    def __init__(
        self, level: Level, centre: Matrix, *, similarity: bool = False, robust: bool = False
    ) -> None:
        self.level, self.centre, self.robust = level, centre, robust
        self.turns = SIMILARITY if similarity else np.eye(12, dtype=np.float32)
        moves = level.design[:, :12] @ self.turns.T if similarity else level.design[:, :12]
        self.design = np.concatenate([moves, level.design[:, 12:]], 1) if similarity else level.design
        self.normal = _stiff(self.design.T @ self.design)

    def run(self, brain: Picture, matrix: Matrix, rounds: int) -> Alignment:
        to_voxel = np.linalg.inv(brain.affine)
        design, normal = self.design, self.normal
        residual = 1.0
        for number in range(rounds):
            seen = sample(brain.voxels, to_voxel @ matrix, self.level.points)
            inside = seen > OUTSIDE
            seen[~inside] = 0
            solution: Matrix = np.asarray(np.linalg.solve(normal, design.T @ seen), np.float64)
            error = seen - self.design @ solution.astype(np.float32)
            residual = _unexplained(error, seen, inside)
            if self.robust and number < REWEIGHTED:
                design = self.design * _weights(error, inside)[:, None]
                normal = _stiff(design.T @ self.design)
            step = self._step(solution)
            matrix = matrix @ np.linalg.inv(step)
            if np.abs(step - np.eye(4))[:3].max(0) @ [REACH, REACH, REACH, 1.0] < STILL:
                break
        return Alignment(matrix, residual)

    def _step(self, solution: Matrix) -> Matrix:
        # The image is gain x template, so its derivative is gain times the template's.
        count = len(self.turns)
        parameters = (self.turns.T @ solution[:count] / max(solution[count], 0.2)).reshape(3, 4)
        step = np.eye(4)
        step[:3, :3] += parameters[:, :3] / REACH
        step[:3, 3] = parameters[:, 3] - parameters[:, :3] @ self.centre / REACH
        return step


def _stiff(normal: Floats) -> Matrix:
    stiff: Matrix = normal.astype(np.float64)
    stiff[np.diag_indices_from(stiff)] *= 1 + 1e-6
    return stiff


def _weights(error: Floats, inside: npt.NDArray[np.bool_]) -> Floats:
    size = np.abs(error)
    spread = HUBER * 1.4826 * np.median(size[inside][::5]) + 1e-6
    return np.asarray(np.where(inside, np.minimum(1, spread / np.maximum(size, 1e-9)), 0), np.float32)


def first_guess(brain: Picture, template: Template) -> Matrix:
    # Same middle, same volume: rotation is left to the starts.
    count, *sums = _moments(brain.voxels)
    middle = brain.affine[:3, :3] @ (np.array(sums) / count) + brain.affine[:3, 3]
    volume = count * abs(np.linalg.det(brain.affine[:3, :3]))
    scale = float(np.clip((volume / template.volume) ** (1 / 3), 0.7, 1.35))
    guess = np.diag([scale, scale, scale, 1.0])
    guess[:3, 3] = middle - scale * template.centre
    return guess


@compiled
def _moments(voxels: Floats) -> tuple[float, float, float, float]:
    """How many voxels are bright enough to be brain, and the sums of their indices; at least 1e-9 of them."""
    count, x, y, z = 1e-9, 0.0, 0.0, 0.0
    for i in range(voxels.shape[0]):
        for j in range(voxels.shape[1]):
            for k in range(voxels.shape[2]):
                if voxels[i, j, k] > BRIGHT:
                    count, x, y, z = count + 1, x + i, y + j, z + k
    return count, x, y, z


def rotation(degrees: tuple[float, float, float]) -> Matrix:
    turn = np.eye(4)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        p, q = (axis + 1) % 3, (axis + 2) % 3
        one = np.eye(4)
        one[[p, q], [p, q]] = np.cos(angle)
        one[p, q], one[q, p] = -np.sin(angle), np.sin(angle)
        turn = one @ turn
    return turn


def about(centre: Matrix, turn: Matrix) -> Matrix:
    moved = turn.copy()
    moved[:3, 3] = centre - turn[:3, :3] @ centre
    return moved


def _unexplained(error: Floats, seen: Floats, inside: npt.NDArray[np.bool_]) -> float:
    count = int(np.count_nonzero(inside)) or 1
    total = float(seen @ seen) - float(seen.sum()) ** 2 / count
    return float(error[inside] @ error[inside]) / max(total, TINY)
