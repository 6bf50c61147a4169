"""A made-up hemisphere: a hippocampus and a ventricle as balls in white matter."""

from __future__ import annotations

import numpy as np

from imaging.hemisphere import SHAPE
from model_store.anatomy.codes import HIPPOCAMPUS, TARGET, VENTRICLE, WHITE
from model_store.anatomy.label_maps import Source, outward_from

MIDDLE, RADIUS = (28, 70, 30), 9.0


def balls() -> Source:
    """Hippocampus of RADIUS mm at MIDDLE, ventricle of 7 mm above it."""
    at = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), -1)
    labels = np.full(SHAPE, WHITE, np.uint8)
    labels[np.linalg.norm(at - MIDDLE, axis=-1) < RADIUS] = HIPPOCAMPUS
    labels[np.linalg.norm(at - (28, 70, 62), axis=-1) < 7] = VENTRICLE
    return Source("balls", labels, outward_from(TARGET[labels]), np.eye(4))
