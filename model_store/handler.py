"""TorchServe handler: uint8 stacks in, one calibrated volume result with its explanation out.

It runs inside TorchServe, next to the files of the archive only, and therefore imports nothing of ours.
"""

from __future__ import annotations

import ctypes
import hashlib
import io
import json
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

SLICES, HEIGHT, WIDTH = 32, 208, 176
DEEP, CELL, QUARTERS = 2048, 4, 4
COVARIATES = 4
VOLUME_BYTES = SLICES * HEIGHT * WIDTH
CLINICAL = ("mean", "scale", "weights", "slopes", "steps")
NETWORK, POOLING, CARD = "resnet50_int8.pt", "head.npz", "CARD.md"
CHUNK = 16
"""Slices a forward pass: larger batches leave the cache and gain nothing on one core."""

Floats = npt.NDArray[np.float32]
log = logging.getLogger(__name__)


class BadBodyError(ValueError):
    """The request's body is not what the handler takes; the message says what it got."""


@dataclass(frozen=True)
class Forward:
    """Of v volumes: logits (v, 32, 3), evidence (v, 32, 3, h, w), features (v, 32, 4336).

    features: 2,048 of the network's last block, then the local contrast in 52 x 44 cells.
    """

    logits: Floats
    evidence: Floats
    features: Floats


def softmax(logits: npt.NDArray[Any]) -> Floats:
    """Over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float32)


class Pooling:
    """Turns the slices' outputs into one answer a volume; every constant was fitted on training subjects.

    `head.npz` holds scales (2,) of the network's features and of the contrast; nuisance (r, k) and damping
    (r,); direction (k,), offset (), slopes (3,), steps (3,) of the head; contrast (4, 2288), its weight of
    cells by quarter of the slab; temperature () and bias (3,); bag_direction (b, k), bag_slopes and bag_steps
    (b, 3), heads fitted on random halves of the subjects; conformal (), the 90 % quantile of 1 - p of the
    true class; ood_mean (k,), ood_basis (d, k), ood_scale (d,), ood_residual (), ood_unit (); and the
    clinical_... of the covariates' head.
    """

    def __init__(self, constants: dict[str, npt.NDArray[Any]]) -> None:
        self.constants = {name: np.asarray(value, dtype=np.float32) for name, value in constants.items()}

    @classmethod
    def load(cls, path: Path) -> Pooling:
        """Read `head.npz`."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(dict(stored))

    def volume_features(self, features: Floats) -> Floats:
        """(v, 32, 4336) -> (v, k = 2048 + 4 * 2288): means over slices, or quarters of the slab, damped."""
        raw, nuisance = self.undamped(features), self.constants["nuisance"]
        return np.asarray(raw - ((raw @ nuisance.T) * self.constants["damping"]) @ nuisance)

    def undamped(self, features: Floats) -> Floats:
        """The same before moves that come with a mere change of look are damped."""
        deep, contrast = features[..., :DEEP].mean(axis=1), _quarters(features[..., DEEP:]).mean(axis=2)
        first, second = self.constants["scales"]
        return np.concatenate([deep * first, contrast.reshape(len(deep), -1) * second], axis=1)

    def slice_logits(self, seen: Forward) -> Floats:
        """(v, 32, 3), whose mean over slices is the volume's logits: the network's, and the contrast's."""
        quarters = np.einsum("vgsk,gk->vgs", _quarters(seen.features[..., DEEP:]), self.constants["contrast"])
        share = QUARTERS * quarters.reshape(*seen.logits.shape[:2], 1)
        return np.asarray(seen.logits + share * self.constants["slopes"], dtype=np.float32)

    def maps(self, seen: Forward) -> Floats:
        """(v, 32, 3, h, w): ReLU of all evidence by place; before it, a map's mean is its slice's logit less
        the head's bias."""
        shape = seen.evidence.shape
        cells = _quarters(seen.features[..., DEEP:]) * self.constants["contrast"][:, None]
        grid = cells.reshape(*shape[:2], HEIGHT // CELL, WIDTH // CELL) * (QUARTERS * shape[-2] * shape[-1])
        rows, columns = _shares(shape[-2], HEIGHT // CELL), _shares(shape[-1], WIDTH // CELL)
        added = (rows @ grid @ columns.T)[:, :, None] * self.constants["slopes"][:, None, None]
        return np.asarray(np.maximum(seen.evidence + added, 0), dtype=np.float32)

    def probabilities(self, slice_logits: Floats) -> Floats:
        """(v, 32, 3) -> (v, 3): mean over slices, then the temperature (Guo et al. 2017)."""
        pooled = slice_logits.mean(axis=1)
        return softmax((pooled + self.constants["bias"]) / self.constants["temperature"])

    def severity(self, volume: Floats) -> Floats:
        """(v, k) volume features -> (v,)."""
        return np.asarray(volume @ self.constants["direction"] + self.constants["offset"])

    def clinical(self, volume: Floats, covariates: Floats) -> Floats:
        """(v, 3) with what is known of (v, 4) MMSE, age, sex (1 men), education; NaN where nothing is.

        One line a pattern of known covariates; the MMSE enters as log(31 - MMSE), because a point means more
        near the ceiling.
        """
        given = {name: self.constants[f"clinical_{name}"] for name in CLINICAL}
        known = np.array(covariates, dtype=np.float64)
        known[:, 0] = np.log(31 - np.clip(known[:, 0], 0, 30))
        known[:, 1] = np.clip(known[:, 1], 60, 100)  # the lines were fitted there, and would run on below
        columns = (np.column_stack([self.severity(volume), known]) - given["mean"]) / given["scale"]
        line = np.isfinite(known) @ (1 << np.arange(known.shape[1]))  # bit n: covariate n is known
        severity = (np.nan_to_num(columns) * given["weights"][line]).sum(axis=1, keepdims=True)
        found = softmax(severity * given["slopes"][line] + given["steps"][line])
        return np.where(line[:, None] > 0, found, np.float32(np.nan))

    def interval(self, volume: Floats, probabilities: Floats) -> Floats:
        """(v, 3, 2): 5th and 95th percentile over the bagged heads, widened to hold the probability."""
        severity = volume @ self.constants["bag_direction"].T
        logits = severity[..., None] * self.constants["bag_slopes"] + self.constants["bag_steps"]
        bagged = softmax((logits + self.constants["bias"]) / self.constants["temperature"])
        low, high = np.percentile(bagged, (5, 95), axis=1)
        ends = (np.minimum(low, probabilities), np.maximum(high, probabilities))
        return np.stack(ends, axis=-1).astype(np.float32)

    def out_of_distribution(self, volume: Floats) -> Floats:
        """(v,): Mahalanobis distance along the training features' main directions and off them.

        1.0 is the 99th percentile of held-out training subjects.
        """
        centred = volume - self.constants["ood_mean"]
        along = centred @ self.constants["ood_basis"].T
        rest = centred - along @ self.constants["ood_basis"]
        within = np.mean((along / self.constants["ood_scale"]) ** 2, axis=1)
        outside = np.mean(rest**2, axis=1) / self.constants["ood_residual"]
        return np.asarray(np.sqrt(within + outside) / self.constants["ood_unit"], dtype=np.float32)

    def prediction_set(self, probabilities: Floats) -> npt.NDArray[np.uint8]:
        """(v, 3) of 0 and 1: the classes a 90 % conformal set keeps; the likeliest class is always in."""
        kept = 1 - probabilities <= self.constants["conformal"]
        kept[np.arange(len(kept)), probabilities.argmax(axis=1)] = True
        return np.asarray(kept, dtype=np.uint8)


def _quarters(contrast: Floats) -> Floats:
    """(v, 32, cells) -> (v, 4, 8, cells), lowest quarter of the slab first."""
    return contrast.reshape(len(contrast), QUARTERS, SLICES // QUARTERS, -1)


def _shares(coarse: int, fine: int) -> Floats:
    """(coarse, fine): how much of each of `fine` equal lengths lies in each of `coarse`; columns sum to 1."""
    ends = np.linspace(0, fine, coarse + 1)
    inside = np.minimum(np.arange(1, fine + 1), ends[1:, None]) - np.maximum(np.arange(fine), ends[:-1, None])
    return np.asarray(np.clip(inside, 0, 1), dtype=np.float32)


def read_body(body: bytes | bytearray) -> tuple[npt.NDArray[np.uint8], Floats]:
    """Slices (volumes, 32, 208, 176) uint8, and covariates (volumes, 4) float32, NaN for what is not known.

    Sent bare, the covariates of all volumes behind the slices of all, or as `slices` and `covariates` of an
    .npz; covariates may be left out. BadBodyError on anything else.
    """
    volumes, rest = divmod(len(body), VOLUME_BYTES)
    if volumes and rest in {0, volumes * COVARIATES * 4}:
        slices = np.frombuffer(body, np.uint8, volumes * VOLUME_BYTES).reshape(-1, SLICES, HEIGHT, WIDTH)
        given = np.frombuffer(body, "<f4", offset=slices.size) if rest else None
        return slices, _covariates(volumes, None if given is None else given.reshape(volumes, COVARIATES))
    if bytes(body[:2]) != b"PK":
        raise BadBodyError("the body must be whole volumes of uint8, or an .npz with `slices`")
    try:
        with np.load(io.BytesIO(bytes(body)), allow_pickle=False) as parts:
            slices = parts["slices"]
            given = parts["covariates"] if "covariates" in parts.files else None
    except Exception as error:  # a hostile zip can raise anything, all the sender's fault
        raise BadBodyError(f"no .npz with `slices`: {type(error).__name__}: {error}") from error
    if slices.ndim != 4 or slices.shape[1:] != (SLICES, HEIGHT, WIDTH) or not len(slices):
        raise BadBodyError(f"`slices` must be (volumes, {SLICES}, {HEIGHT}, {WIDTH}), got {slices.shape}")
    if slices.dtype != np.uint8:
        raise BadBodyError(f"`slices` must be uint8, got {slices.dtype}")
    return np.asarray(slices), _covariates(len(slices), given)


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


class Model:
    """The unpacked archive: network, pooling, digest. `threads` chunks are computed at once, one a core."""

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        torch.set_num_threads(1)
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, "chunk", initializer=torch.set_num_threads, initargs=(1,))
        self.engine = choose_engine()
        torch.backends.quantized.engine = self.engine
        manifest = json.loads((folder / "manifest.json").read_text())
        self.digest = _checked_digest(folder, manifest["files"])
        self.network = torch.jit.load(str(folder / NETWORK), map_location="cpu").eval()
        self.pooling = Pooling.load(folder / POOLING)
        self.card = (folder / CARD).read_text() if (folder / CARD).is_file() else ""
        self.fast: Any = None  # accelerated.Accelerated where there is a GPU

    def forward(self, stacks: npt.NDArray[np.uint8]) -> Forward:
        """(v, 32, 208, 176) uint8 -> per-slice outputs."""
        slices = torch.from_numpy(np.ascontiguousarray(stacks).reshape(-1, HEIGHT, WIDTH))
        found = self.fast(slices) if self.fast else self._on_cores(slices)
        outputs = [part.numpy() for part in found]
        logits, evidence, features = (part.reshape(-1, SLICES, *part.shape[1:]) for part in outputs)
        return Forward(logits=logits, evidence=evidence, features=features)

    def _on_cores(self, slices: torch.Tensor) -> list[torch.Tensor]:
        pieces = slices.split(min(CHUNK, -(-len(slices) // self.threads)))
        chunks = list(self._pool.map(self._look, pieces) if self.threads > 1 else map(self._look, pieces))
        return [torch.cat(part) for part in zip(*chunks, strict=True)]

    def _look(self, slices: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with torch.inference_mode():
            return tuple(self.network(slices))

    def answer(
        self, stacks: npt.NDArray[np.uint8], covariates: Floats | None = None
    ) -> dict[str, npt.NDArray[Any]]:
        """All arrays of the response for (v, 32, 208, 176) uint8, and (v, 4) covariates if there are any."""
        seen, pooling = self.forward(stacks), self.pooling
        volume, logits = pooling.volume_features(seen.features), pooling.slice_logits(seen)
        probabilities = pooling.probabilities(logits)
        known = np.full((len(stacks), COVARIATES), np.nan) if covariates is None else covariates
        return {
            "probabilities": probabilities,
            "interval": pooling.interval(volume, probabilities),
            "slice_logits": logits,
            "maps": pooling.maps(seen).astype(np.float16),
            "ood": pooling.out_of_distribution(volume),
            "prediction_set": pooling.prediction_set(probabilities),
            "clinical": pooling.clinical(volume, known),
        }


def _checked_digest(folder: Path, files: dict[str, str]) -> str:
    """SHA-256 over the manifest's sorted `name digest` lines; deciding files are hashed again."""
    for name in (NETWORK, POOLING):
        with (folder / name).open("rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != files[name]:
                raise RuntimeError(f"{name} is not the file that the manifest names")
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def choose_engine() -> str:
    """The int8 engine; without VNNI the answers stay right but come slower, and the log says so."""
    if torch.cpu._is_vnni_supported() and "x86" in torch.backends.quantized.supported_engines:
        return "x86"
    log.warning("no VNNI on this CPU: int8 runs on the onednn engine, without its speed")
    return "onednn"


def keep_memory() -> None:
    """Have glibc keep freed blocks for the next request; else the kernel clears all their pages anew."""
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD
        libc.mallopt(-8, 1)  # M_ARENA_MAX: further arenas are too small to keep such blocks


_loaded: list[Model] = []


def handle(requests: list[dict[str, Any]] | None, context: Any) -> list[bytes]:
    """TorchServe's entry: once with None to load the model, then with batches.

    One answer a request, in order; a bad body fails alone, with status 400 and a JSON reason.
    """
    if requests is None:
        _load(context)
        return []
    began, started = time.time(), time.perf_counter()
    answers: list[bytes] = [b""] * len(requests)
    taken: dict[int, tuple[npt.NDArray[np.uint8], Floats]] = {}
    for index, request in enumerate(requests):
        try:
            taken[index] = read_body(request.get("body") or request.get("data") or b"")
        except BadBodyError as error:
            answers[index] = _refuse(context, index, str(error))
    if taken:
        stacks, covariates = (np.concatenate(parts) for parts in zip(*taken.values(), strict=True))
        results = _loaded[0].answer(stacks, covariates)
        about = _about(_loaded[0], time.perf_counter() - started) | {"started": round(began, 6)}
        first = 0
        for index, (stack, _) in taken.items():
            last = first + len(stack)
            own = about | {"traceparent": context.get_request_header(index, "traceparent") or ""}
            answers[index] = write_result({name: part[first:last] for name, part in results.items()}, own)
            context.set_response_content_type(index, "application/x-npz")
            first = last
    return answers


def _load(context: Any) -> None:
    threads = int(os.environ.get("HIPPOCAMP_MODEL_THREADS", "0")) or len(os.sched_getaffinity(0))
    keep_memory()
    model = Model(Path(context.system_properties["model_dir"]), threads=threads)
    model.fast = _beside("accelerated").accelerated(model.network, context.system_properties.get("gpu_id"))
    _loaded[:] = [model]
    log.info("model %s, engine %s, threads %d", model.digest, model.engine, model.threads)


def _beside(name: str) -> ModuleType:
    """A module that lies beside this file, in the repository as in the archive."""
    loader = SourceFileLoader(name, str(Path(__file__).with_name(f"{name}.py")))
    module = ModuleType(name)
    loader.exec_module(module)
    return module


def _refuse(context: Any, index: int, message: str) -> bytes:
    context.set_response_status(code=400, idx=index)
    context.set_response_content_type(index, "application/json")
    return json.dumps({"code": 400, "message": message}).encode()


def _about(model: Model, seconds: float) -> dict[str, Any]:
    engine = model.fast.engine if model.fast else model.engine
    about = {"model_digest": model.digest, "engine": engine, "int8": not model.fast}
    about["card"] = model.card
    return about | {"seconds": round(seconds, 4)}
