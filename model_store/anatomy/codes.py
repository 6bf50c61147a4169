"""FreeSurfer's label numbers, the few labels that drawings are made of, and what the network is to find.

Label maps of the SynthSeg repository use FreeSurfer's numbers (FreeSurferColorLUT) with two oddities: 136/163
and 137/164 are choroid plexus of the lateral ventricle and of the inferior horn.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imaging.hemisphere import LEFT, RIGHT, Structure

Labels = npt.NDArray[np.uint8]

WHITE, CORTEX, VENTRICLE, HORN, CEREBELLUM_WHITE, CEREBELLUM_GREY = 1, 2, 3, 4, 5, 6
THALAMUS, CAUDATE, PUTAMEN, PALLIDUM, THIRD, FOURTH, STEM = 7, 8, 9, 10, 11, 12, 13
HIPPOCAMPUS, AMYGDALA, CSF, ACCUMBENS, VENTRAL, VESSEL, LESION = 14, 15, 16, 17, 18, 19, 20
PLEXUS, HORN_PLEXUS, CHIASM, SULCUS = 21, 22, 23, 24
"""SULCUS is ours: what the hippocampus encloses, such as its sulcus (label_maps.py)."""

OTHER = 32
"""Added to a label of the other hemisphere."""

_OWN = {
    LEFT: {
        2: WHITE, 3: CORTEX, 4: VENTRICLE, 5: HORN, 7: CEREBELLUM_WHITE, 8: CEREBELLUM_GREY,
        10: THALAMUS, 11: CAUDATE, 12: PUTAMEN, 13: PALLIDUM, 17: HIPPOCAMPUS, 18: AMYGDALA,
        25: LESION, 26: ACCUMBENS, 28: VENTRAL, 30: VESSEL, 136: PLEXUS, 137: HORN_PLEXUS,
    },
    RIGHT: {
        41: WHITE, 42: CORTEX, 43: VENTRICLE, 44: HORN, 46: CEREBELLUM_WHITE, 47: CEREBELLUM_GREY,
        49: THALAMUS, 50: CAUDATE, 51: PUTAMEN, 52: PALLIDUM, 53: HIPPOCAMPUS, 54: AMYGDALA,
        57: LESION, 58: ACCUMBENS, 60: VENTRAL, 62: VESSEL, 163: PLEXUS, 164: HORN_PLEXUS,
    },
}  # fmt: skip
_MIDDLE = {14: THIRD, 15: FOURTH, 16: STEM, 24: CSF, 72: THIRD, 77: LESION, 85: CHIASM}

TARGET: Labels = np.zeros(256, np.uint8)
"""Label -> class of the network; plexus belongs to its ventricle, the sulcus to the hippocampus."""
TARGET[[HIPPOCAMPUS, SULCUS]] = Structure.HIPPOCAMPUS
TARGET[[HORN, HORN_PLEXUS]] = Structure.INFERIOR_HORN
TARGET[[VENTRICLE, PLEXUS]] = Structure.LATERAL_VENTRICLE
TARGET[AMYGDALA] = Structure.AMYGDALA


def seen_from(codes: npt.NDArray[np.int16], side: int) -> Labels:
    """FreeSurfer codes (any shape) as labels; those of the other hemisphere have OTHER added."""
    table = np.zeros(int(codes.max()) + 1, np.uint8)
    for names, extra in ((_OWN[side], 0), (_OWN[1 - side], OTHER), (_MIDDLE, 0)):
        for code, label in names.items():
            if code < len(table):
                table[code] = label + extra
    return table[codes]
