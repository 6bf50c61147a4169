"""A DICOM study in an archive: one evenly spaced stack of MR slices of its T1 series (PS3.3, C.7.6.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from contracts.errors import BadSeries, InputError
from contracts.series_read import PassedOver, SeriesRead
from contracts.source import DicomSource
from imaging import limits
from imaging.contents import Member
from imaging.described import Described
from imaging.series import Why, passed_over, refusal, select, with_agent
from preprocessing_service.formats.decode import check_affine, halves, kept, stacked, three_axes
from preprocessing_service.formats.stacks import refuse_part
from preprocessing_service.formats.study import NAMES, Slice, Study, dataset_of, slices_of
from preprocessing_service.volume import Matrix, Volume

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
TOLERANCE = 0.1
"""How far a slice may lie from its even place, as a share of the gap."""


def read_dicom(
    members: Sequence[Member], listed: Sequence[PassedOver] = (), *, allow_agent: bool = False
) -> Volume:
    """The T1 series of the study as one volume; any InputError.

    listed: what was passed over before.
    allow_agent: a contrast-enhanced series is read when there is no other.
    """
    study = Study()
    for member in members:
        study.add(member)
    study.owners.check()
    described = {key: _whole(images) for key, images in study.groups.items()}
    selection = select(described, allow_agent=allow_agent)
    others = [passed_over(one, Why(one.unfit)) for one in study.others.values()]
    others = (
        [passed_over(described[key], why) for key, why in selection.passed.items()] + others + list(listed)
    )
    if selection.chosen is None:
        raise _nothing(study, others)
    chosen, one = study.groups[selection.chosen], described[selection.chosen]
    if error := study.broken.get(chosen[0].names["SeriesInstanceUID"]):
        raise error
    refuse_part(chosen, [images for key, images in study.groups.items() if key != selection.chosen])
    seen = len(study.groups) + len(study.others)
    study.groups.clear()
    series = SeriesRead(
        number=one.number,
        description=one.words,
        images=one.images,
        candidates=selection.candidates,
        agent=with_agent(one),
        passed_over=tuple(others),
    )
    return assemble(chosen, series, Pixels(), seen=seen)


def _nothing(study: Study, others: list[PassedOver]) -> InputError:
    if study.broken and not study.groups:
        return next(iter(study.broken.values()))
    return refusal(others) if others else BadSeries("the archive holds no DICOM image")


def _whole(images: list[Slice]) -> Described:
    """A stack as the rule sees it."""
    first, last = images[0], images[-1]
    gap = float(np.linalg.norm(last.position - first.position)) / max(len(images) - 1, 1)
    return replace(
        first.described, images=len(images), voxel_mm3=round(gap * first.spacing[0] * first.spacing[1], 2)
    )


class Pixels:
    """The pixels of images, read again where they were let go; the frames of one file follow one another."""

    def __init__(self) -> None:
        self._file: dict[tuple[str, int], npt.NDArray[Any]] = {}

    def of(self, image: Slice) -> npt.NDArray[Any]:
        """(rows, columns) of one image; any InputError."""
        if image.pixels is not None:
            return image.pixels
        if (image.uid, image.frame) not in self._file:
            self._file.clear()
            dataset = dataset_of(image.member)
            again = slices_of(dataset, image.member) if dataset else []
            self._file |= {(one.uid, one.frame): one.pixels for one in again if one.pixels is not None}
        return self._file[image.uid, image.frame]


def assemble(images: list[Slice], series: SeriesRead, pixels: Pixels, *, seen: int) -> Volume:
    """Order the slices along their normal and stack them, emptying the list; BadSeries when uneven."""
    images[:] = {(image.uid, image.frame): image for image in images}.values()
    shape = three_axes([len(images), *images[0].shape])
    normal = np.cross(*images[0].axes)
    images.sort(key=lambda image: float(image.position @ normal))
    step = even_step(np.array([image.position for image in images]), normal)
    affine = check_affine(LPS_TO_RAS @ _affine_of(images[0], step), shape)
    facts, source = (("series_in_archive", float(seen)),), source_of(images)
    uneven = len({(image.rescale, image.dtype) for image in images}) > 1
    (slope, intercept), dtype = images[0].rescale, images[0].dtype
    if uneven:
        slope, intercept, dtype = 1.0, 0.0, np.dtype(np.float32)
    halved = halves(shape, affine, dtype)
    voxels = stacked(_emptied(images, pixels, uneven=uneven), shape, dtype, halved)
    x, y, z = (round(float(edge), 3) for edge in np.linalg.norm(affine[:3, :3], axis=0))
    series = replace(series, voxel_mm=(x, y, z))
    return kept(Volume(voxels, affine, slope, intercept, facts, source, series), halved)


def _emptied(images: list[Slice], pixels: Pixels, *, uneven: bool) -> Iterator[npt.NDArray[Any]]:
    # Slices leave the list as they are copied: else the peak would be twice the series.
    images.reverse()
    while images:
        image = images.pop()
        plane = pixels.of(image)
        yield plane * np.float32(image.rescale[0]) + np.float32(image.rescale[1]) if uneven else plane


def source_of(images: list[Slice]) -> DicomSource | None:
    """Identifiers of the series; None when a slice lacks some, because a report can then not point at it."""
    study, series, sop_class, frame = (images[0].names[name] for name in NAMES)
    try:
        return DicomSource(
            study=study,
            series=series,
            sop_class=sop_class,
            frame_of_reference=frame,
            instances=tuple(dict.fromkeys(image.uid for image in images)),
        )
    except ValueError:
        return None


def even_step(positions: npt.NDArray[np.float64], normal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(3,) mm from one slice to the next, positions (n, 3) being sorted; BadSeries when uneven."""
    gaps = np.diff(positions @ normal)
    usual = float(np.median(gaps))
    if usual < limits.MIN_ZOOM:
        raise BadSeries(f"several slices lie at the same place (usual gap {usual:.3f} mm)")
    if gaps.min() < (1 - TOLERANCE) * usual:
        raise BadSeries(f"slices lie {gaps.min():.3f} mm apart where {usual:.3f} mm is usual")
    if gaps.max() > (1 + TOLERANCE) * usual:
        raise BadSeries(f"a slice is missing: one gap is {gaps.max():.3f} mm, {usual:.3f} mm is usual")
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    even = positions[0] + np.arange(len(positions))[:, None] * step
    if np.abs(positions - even).max() > max(TOLERANCE * usual, 0.05):
        raise BadSeries("the slices do not lie on one straight line")
    return np.asarray(step)


def _affine_of(first: Slice, step: npt.NDArray[np.float64]) -> Matrix:
    # PixelSpacing is (between rows, between columns); the first axis vector runs along a row.
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = first.axes[1] * first.spacing[0]
    affine[:3, 2] = first.axes[0] * first.spacing[1]
    affine[:3, 3] = first.position
    return affine
