"""One peer on one image, in the peers' own environment: prints seconds and what it found as JSON.

`python preprocess_peer.py TOOL FIXED MOVING`: an affine of SimpleITK, ants or greedy, as the matrix from the
fixed image's mm to the moving one's (RAS+); `n4 POINTS MOVING`: the log field at voxel indices (.npy).
Knows nothing of this project, so that it runs where only the peers are installed.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
"""ITK's world is left, posterior, superior."""


def simpleitk(fixed: str, moving: str) -> Callable[[], Any]:
    """Mattes mutual information, 12 parameters, three resolutions: the settings of its own examples."""
    import SimpleITK as sitk  # noqa: N813  as its own documentation does

    images = [sitk.ReadImage(name, sitk.sitkFloat32) for name in (fixed, moving)]
    start = sitk.CenteredTransformInitializer(
        *images, sitk.AffineTransform(3), sitk.CenteredTransformInitializerFilter.MOMENTS
    )

    def run() -> Any:
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(50)
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(0.1, 1)
        method.SetInterpolator(sitk.sitkLinear)
        method.SetOptimizerAsGradientDescent(1.0, 200, 1e-6, 10)
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetShrinkFactorsPerLevel([4, 2, 1])
        method.SetSmoothingSigmasPerLevel([2, 1, 0])
        method.SetInitialTransform(sitk.AffineTransform(start), inPlace=True)
        found = sitk.AffineTransform(method.Execute(*images).Downcast())
        return ras(np.array(found.GetMatrix()), found.GetTranslation(), found.GetCenter())

    return run


def ants(fixed: str, moving: str) -> Callable[[], Any]:
    """antsRegistration's affine with its defaults."""
    import ants as library

    images = [library.image_read(name) for name in (fixed, moving)]

    def run() -> Any:
        found = library.registration(*images, type_of_transform="Affine", random_seed=1)
        affine = library.read_transform(found["fwdtransforms"][0])
        return ras(affine.parameters[:9], affine.parameters[9:], affine.fixed_parameters)

    return run


def greedy(fixed: str, moving: str) -> Callable[[], Any]:
    """Patch correlation, affine, three resolutions, the images' middles laid on each other."""
    from picsl_greedy import Greedy3D

    out = Path(tempfile.mkdtemp()) / "affine.mat"
    options = "-a -dof 12 -m NCC 2x2x2 -ia-image-centers -n 100x50x10 -threads 1 -V 0"

    def run() -> Any:
        Greedy3D().execute(f"-i {fixed} {moving} {options} -o {out}")
        return np.loadtxt(out)

    return run


def n4(points: str, moving: str) -> Callable[[], Any]:
    """N4 at a fourth of the resolution inside the brain, four levels of 50 iterations; at the points."""
    import SimpleITK as sitk  # noqa: N813  as its own documentation does

    image, index = sitk.ReadImage(moving, sitk.sitkFloat32), np.load(points)
    mask = sitk.Cast(image > 0, sitk.sitkUInt8)

    def run() -> Any:
        method = sitk.N4BiasFieldCorrectionImageFilter()
        method.SetMaximumNumberOfIterations([50] * 4)
        method.Execute(*(sitk.Shrink(one, [4] * 3) for one in (image, mask)))
        field = sitk.GetArrayFromImage(method.GetLogBiasFieldAsImage(image))
        return field[index[:, 2], index[:, 1], index[:, 0]]

    return run


def ras(matrix: Any, shift: Any, centre: Any) -> Any:
    """(4, 4) of an ITK affine about a centre, in RAS+ mm."""
    whole = np.eye(4)
    whole[:3, :3] = np.reshape(matrix, (3, 3))
    whole[:3, 3] = np.asarray(shift) + np.asarray(centre) - whole[:3, :3] @ np.asarray(centre)
    return FLIP @ whole @ FLIP


TOOLS = {"SimpleITK": simpleitk, "ants": ants, "greedy": greedy, "n4": n4}

if __name__ == "__main__":
    work = TOOLS[sys.argv[1]](sys.argv[2], sys.argv[3])
    begun = time.process_time(), time.perf_counter()
    result = work()
    spent = {"cpu": time.process_time() - begun[0], "wall": time.perf_counter() - begun[1]}
    sys.stdout.write("\n" + json.dumps({**spent, "found": np.asarray(result).tolist()}) + "\n")
