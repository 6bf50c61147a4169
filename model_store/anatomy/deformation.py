"""Random anatomy: a label map turned, scaled, bent, with growth or atrophy of single structures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imaging.hemisphere import SHAPE
from model_store.anatomy.codes import OTHER, TARGET, Labels
from model_store.anatomy.label_maps import Matrix, Source
from model_store.anatomy.loops import read_deformed, sum_moves

Floats = npt.NDArray[np.float32]
SPACING = 14.0
"""mm between the knots of the random bend."""

CENTRE = np.array([28.0, 72.0, 36.0])
"""Voxel of the box that turns and scales leave in place: about the temporal horn."""

CHANGE = 0.4
"""mm between two visits."""

BOX_CLASSES = 5


@dataclass(frozen=True)
class Geometry:
    """One random anatomy of one source.

    turn: (4, 4), box voxel -> undeformed box voxel. bend: (3, a, b, c) mm. growth: mm by which the surfaces
    of lateral ventricle, inferior horn and hippocampus move outward (label_maps.GROWING).
    """

    source: Source
    turn: Matrix
    bend: Floats
    growth: tuple[float, float, float]


@dataclass(frozen=True)
class Read:
    """nearest: (x, y, z) labels. picture: (x, y, z) grey. shares: (5, x, y, z), their sum 1 in each voxel."""

    nearest: Labels
    picture: Floats
    shares: Floats


def draw_geometry(source: Source, rng: np.random.Generator) -> Geometry:
    """Shifts of about 2 mm, turns of 4 degrees, scales of 5 %, bends of 0.5 to 2.5 mm, growth of 1 mm."""
    scale = np.exp(rng.normal(0, 0.05, 3) + rng.normal(0, 0.04))
    shear = np.eye(3) + np.triu(rng.normal(0, 0.03, (3, 3)), 1)
    linear = rotation(rng.normal(0, 4, 3)) @ np.diag(1 / scale) @ shear
    knots = [int(np.ceil(n / SPACING)) + 3 for n in SHAPE]
    bend = rng.normal(0, rng.uniform(0.5, 2.5), (3, *knots)).astype(np.float32)
    growth = (rng.normal(0.6, 1.2), rng.normal(0.3, 0.8), rng.normal(-0.15, 0.5))
    return Geometry(source, about_centre(linear, rng.normal(0, (1.5, 2.5, 2.5))), bend, growth)


def revisited(geometry: Geometry, rng: np.random.Generator) -> Geometry:
    """The same anatomy on another day: turned by about a degree, shifted by about half a millimetre.

    One time in two, years later: each structure has grown or shrunk by about CHANGE mm.
    """
    again = about_centre(rotation(rng.normal(0, 0.8, 3)), rng.normal(0, 0.5, 3))
    change = rng.normal(0, CHANGE, 3) if rng.random() < 0.5 else np.zeros(3)
    a, b, c = (float(one) for one in np.array(geometry.growth) + change)
    return Geometry(geometry.source, geometry.turn @ again, geometry.bend, (a, b, c))


def about_centre(linear: Matrix, shift: npt.ArrayLike) -> Matrix:
    """(4, 4): `linear` (3, 3) about CENTRE, then the shift in mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = CENTRE - linear @ CENTRE + np.asarray(shift)
    return matrix


def rotation(degrees: npt.ArrayLike) -> Matrix:
    """(3, 3): about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(np.asarray(degrees))):
        p, q = (axis + 1) % 3, (axis + 2) % 3
        one = np.eye(3)
        one[[p, q], [p, q]] = np.cos(angle)
        one[p, q], one[q, p] = -np.sin(angle), np.sin(angle)
        matrix = one @ matrix
    return matrix


def read_geometry(
    geometry: Geometry,
    levels: Floats,
    *,
    shape: tuple[int, int, int] = SHAPE,
    corner: tuple[int, int, int] = (0, 0, 0),
) -> Read:
    """The anatomy in a part of the box; levels: (32,) grey level of every label."""
    nearest = np.zeros(shape, np.uint8)
    picture, shares = np.zeros(shape, np.float32), np.zeros((BOX_CLASSES, *shape), np.float32)
    moved = np.eye(4)
    moved[:3, 3] = corner
    moves = sum_moves(geometry.source.outward, np.array(geometry.growth, np.float32))
    tables = (np.tile(levels, 256 // OTHER).astype(np.float32), TARGET)
    read_deformed(
        geometry.source.labels,
        moves,
        (geometry.turn @ moved, geometry.source.to_own),
        (geometry.bend, SPACING),
        tables,
        (nearest, picture, shares),
    )
    return Read(nearest, picture, shares)


def unmoved(source: Source) -> Geometry:
    """The anatomy as it is in the label map."""
    knots = [int(np.ceil(n / SPACING)) + 3 for n in SHAPE]
    return Geometry(source, np.eye(4), np.zeros((3, *knots), np.float32), (0.0, 0.0, 0.0))
