"""Last step: the whole brain on a grid of its own, to be looked at; the model never sees it."""

from __future__ import annotations

from typing import Any

import nibabel as nib
from isal import isal_zlib

from imaging.grid import BRAIN
from preprocessing_service.coarse import CoarseHead
from preprocessing_service.steps.bias import Tissues
from preprocessing_service.steps.normalise import normalise
from preprocessing_service.steps.register import Alignment
from preprocessing_service.steps.resample import resample
from preprocessing_service.steps.strip import Brain
from preprocessing_service.volume import Volume

GZIP = 31
"""zlib's code for a gzip header and trailer with the widest window."""


def keep(volume: Volume, brain: Brain, coarse: CoarseHead, alignment: Alignment, tissues: Tissues) -> bytes:
    """The stripped, field-corrected brain as gzipped NIfTI-1, uint8 intensities as in the stack.

    Voxels run along the template's axes (imaging.grid.BRAIN); the affine leads into the input's world, so
    that the brain lies on the volume that was sent in every viewer.
    """
    slices = normalise(resample(volume, brain, alignment, tissues, grid=BRAIN), tissues, coarse.unit)
    image: Any = nib.Nifti1Image(slices.T, alignment.matrix @ BRAIN.to_mni)  # type: ignore[no-untyped-call]
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = b"Hippocamp, brain without skull; research use only"
    return bytes(isal_zlib.compress(image.to_bytes(), level=1, wbits=GZIP))
