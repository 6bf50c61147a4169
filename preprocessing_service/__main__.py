"""`python -m preprocessing_service scan.nii.gz -o folder`: stack, mask, affine, figures and pictures."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import nibabel
import numpy as np

from contracts.errors import HippocampError
from contracts.stack import Stack
from preprocessing_service.digest import pipeline_digest
from preprocessing_service.pictures import brain_picture, slices_picture, template_picture
from preprocessing_service.pipeline import examine
from preprocessing_service.png import to_png
from preprocessing_service.sheet import quality_sheet
from preprocessing_service.steps.quality import Prepared
from preprocessing_service.steps.rules import judge
from preprocessing_service.template import load_template


def main(arguments: list[str] | None = None) -> int:
    """Prepare one volume; 0 when it passes the gate, 1 when it is refused (its figures are written too)."""
    parser = argparse.ArgumentParser(prog="python -m preprocessing_service", description=__doc__)
    parser.add_argument(
        "volume", type=Path, help="NIfTI, MGH/MGZ, or a zip of a DICOM series or Analyze pair"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder that is made and filled")
    chosen = parser.parse_args(arguments)
    try:
        stack, head = examine(chosen.volume, on_step=lambda step: _tell(step))
        write(chosen.output, stack, head)
        judge(stack.quality)
    except HippocampError as error:
        _tell(f"refused: {error.code}: {error.detail}")
        return 1
    _tell(f"written to {chosen.output}")
    return 0


def write(folder: Path, stack: Stack, head: Prepared) -> None:
    """stack.npz, slices.nii.gz, mask.nii.gz (about 2 mm), affine.txt, quality.json and four pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stack.npz").write_bytes(stack.to_bytes())
    slices = nibabel.Nifti1Image(stack.slices.transpose(2, 1, 0), stack.grid_to_world)  # type: ignore[no-untyped-call]
    slices.to_filename(folder / "slices.nii.gz")
    brain = head.coarse.brain
    mask = nibabel.Nifti1Image((brain.voxels > 0).astype(np.uint8), brain.affine)  # type: ignore[no-untyped-call]
    mask.to_filename(folder / "mask.nii.gz")
    np.savetxt(folder / "affine.txt", head.alignment.matrix, header="MNI152 mm -> mm of the input's world")
    about = {"pipeline": pipeline_digest(), "quality": stack.quality, "seconds": stack.seconds}
    (folder / "quality.json").write_text(json.dumps(about, indent=1) + "\n")
    template = load_template()
    pictures = {
        "slices": slices_picture(stack.slices),
        "brain": brain_picture(head),
        "template": template_picture(head, template),
    }
    for name, picture in pictures.items():
        (folder / f"{name}.png").write_bytes(to_png(picture))
    (folder / "sheet.png").write_bytes(quality_sheet(head, template, stack.quality))


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
