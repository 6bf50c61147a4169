"""Step 1: a file of any supported format, recognised by its content, becomes a Volume."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from contracts.errors import ContrastEnhanced, NotAVolume
from imaging import limits, manifest
from imaging.contents import Contents, Member, contents_of
from imaging.dicom_magic import looks_like_dicom
from imaging.reading import reading
from imaging.single_file import entries_of
from preprocessing_service.formats.analyze import looks_like_analyze, read_analyze
from preprocessing_service.formats.dicom import read_dicom
from preprocessing_service.formats.mgh import looks_like_mgh, read_mgh
from preprocessing_service.formats.nifti import read_nifti, version_of
from preprocessing_service.formats.streams import ZIP, first_bytes, open_stream, read_exactly
from preprocessing_service.volume import Volume

PEEK = 352
_WANTED = "NIfTI, MGH/MGZ, a DICOM file, or a zip with a DICOM study or an Analyze pair is needed"


def read(path: Path, *, allow_agent: bool = False) -> Volume:
    """The volume in `path`: NIfTI-1/2, MGH/MGZ, an enhanced DICOM file (all also gzipped), or a zip of a
    DICOM study, of an Analyze or NIfTI pair, or of such a file. Raises InputError subclasses only.

    allow_agent: a contrast-enhanced series is read when there is no plain one.
    """
    volume = _read(path, allow_agent=allow_agent)
    edge = round(float(volume.zooms.max()), 2)
    return replace(volume, facts=(*volume.facts, ("voxel_edge_mm", edge)))


def _read(path: Path, *, allow_agent: bool) -> Volume:
    if first_bytes(path, 4) == ZIP:
        return _read_archive(path, allow_agent=allow_agent)
    with open_stream(path) as stream, reading():
        start = stream.read(PEEK)
    if not start:
        raise NotAVolume("the gzip file holds no bytes")
    if looks_like_dicom(start):
        return _read_archive(path, allow_agent=allow_agent)
    if not (version_of(start) or looks_like_mgh(start)):
        wanted = "a pair of .hdr and .img goes into one zip archive" if looks_like_analyze(start) else _WANTED
        raise NotAVolume(f"the content starts with {start[:8].hex()}; {wanted}")
    with open_stream(path) as stream:
        return read_nifti(stream) if version_of(start) else read_mgh(stream)


def _read_archive(path: Path, *, allow_agent: bool) -> Volume:
    with path.open("rb") as file:
        archive = entries_of(file)
        told, listed = manifest.listed(archive)
        contents = contents_of(archive)
        series = contents.series or told
        if series and series.agent and not allow_agent:
            raise ContrastEnhanced(
                f"The only T1 volume was taken with a contrast agent, by its name ({series.description!r}). "
                "Send the plain T1 volume"
            )
        volume = _read_single(contents)
        if volume is None:
            return read_dicom(contents.instances, listed, allow_agent=allow_agent)
    if series is None:
        return volume
    x, y, z = (round(float(edge), 3) for edge in volume.zooms)
    return replace(volume, series=replace(series, voxel_mm=(x, y, z)))


def _read_single(contents: Contents) -> Volume | None:
    if contents.header and contents.image:
        return _read_pair(contents.header, contents.image)
    return _read_volume(contents.volume) if contents.volume else None


def _read_pair(header: Member, image: Member) -> Volume:
    start = io.BytesIO(header.data(limits.MAX_HEADER))
    nifti = version_of(start.getvalue())
    if not nifti and not looks_like_analyze(start.getvalue()):
        raise NotAVolume("the .hdr in the zip archive is neither Analyze nor NIfTI")
    with image.opened() as stream:
        return read_nifti(start, stream) if nifti else read_analyze(start, stream)


def _read_volume(member: Member) -> Volume:
    with member.opened() as stream:
        start = read_exactly(stream, min(PEEK, member.entry.file_size))
    if not (version_of(start) or looks_like_mgh(start)):
        raise NotAVolume("the file in the zip archive is no NIfTI or MGH")
    with member.opened() as stream:
        return read_nifti(stream) if version_of(start) else read_mgh(stream)
