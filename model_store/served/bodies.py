"""The request's and the answer's bytes."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from .shapes import COVARIATES, HEIGHT, SLICES, WIDTH, Floats
from .stored import named_stacks

VOLUME_BYTES = SLICES * HEIGHT * WIDTH


class BadBodyError(ValueError):
    """The request's body is not what the handler takes; the message says what it got."""


def read_body(body: bytes | bytearray) -> tuple[npt.NDArray[np.uint8], Floats]:
    """Slices (volumes, 32, 208, 176) uint8, and covariates (volumes, 4) float32, NaN for what is not known.

    Sent bare, the covariates of all volumes behind the slices of all, or as `slices` and `covariates` of an
    .npz; covariates may be left out. Or named, where the server has the blob store before its eyes
    (stored.py). BadBodyError on anything else.
    """
    volumes, rest = divmod(len(body), VOLUME_BYTES)
    if volumes and rest in {0, volumes * COVARIATES * 4}:
        slices = np.frombuffer(body, np.uint8, volumes * VOLUME_BYTES).reshape(-1, SLICES, HEIGHT, WIDTH)
        given = np.frombuffer(body, "<f4", offset=slices.size) if rest else None
        return slices, _covariates(volumes, None if given is None else given.reshape(volumes, COVARIATES))
    try:
        slices, given = _unpacked(body)
    except Exception as error:  # a hostile zip can raise anything, all the sender's fault
        raise BadBodyError(f"no .npz with `slices`: {type(error).__name__}: {error}") from error
    if slices.ndim != 4 or slices.shape[1:] != (SLICES, HEIGHT, WIDTH) or not len(slices):
        raise BadBodyError(f"`slices` must be (volumes, {SLICES}, {HEIGHT}, {WIDTH}), got {slices.shape}")
    if slices.dtype != np.uint8:
        raise BadBodyError(f"`slices` must be uint8, got {slices.dtype}")
    return np.asarray(slices), _covariates(len(slices), given)


def _unpacked(body: bytes | bytearray) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    if bytes(body[:1]) == b"{":
        stacks, covariates = named_stacks(body)
        return np.stack(stacks), covariates
    if bytes(body[:2]) != b"PK":
        raise ValueError("the body must be whole volumes of uint8, an .npz, or name stored stacks")
    with np.load(io.BytesIO(bytes(body)), allow_pickle=False) as parts:
        return parts["slices"], parts["covariates"] if "covariates" in parts.files else None


def _covariates(volumes: int, given: npt.NDArray[Any] | None) -> Floats:
    if given is None:
        return np.full((volumes, COVARIATES), np.nan, np.float32)
    if given.shape != (volumes, COVARIATES) or given.dtype != np.float32:
        raise BadBodyError(f"`covariates` must be ({volumes}, {COVARIATES}) float32, got {given.shape}")
    return np.asarray(given)


def write_result(parts: dict[str, npt.NDArray[Any]], about: dict[str, Any]) -> bytes:
    """An uncompressed .npz without pickles; `about` travels as JSON bytes."""
    out = io.BytesIO()
    told = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    np.savez(out, about=told, **parts)  # type: ignore[arg-type]
    return out.getvalue()
