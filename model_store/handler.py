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
NETWORK, POOLING = "resnet50_int8.pt", "head.npz"
CHUNK = 16
"""Slices a forward pass: larger batches leave the cache and gain nothing on one core."""

Floats = npt.NDArray[np.float32]
log = logging.getLogger(__name__)


class BadBodyError(ValueError):
    """The request's body is not what the handler takes; the message says what it got."""


@dataclass(frozen=True)
class Forward:
    """Of v volumes: logits (v, 32, 3), maps (v, 32, 3, h, w), features (v, 32, 2048)."""

    logits: Floats
    maps: Floats
    features: Floats


def softmax(logits: npt.NDArray[Any]) -> Floats:
    """Over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float32)


class Pooling:
    """Turns the slices' outputs into one answer a volume; every constant was fitted on training subjects.

    `head.npz` holds slice_weights (32,) summing to 1; temperature () and bias (3,); bag_weight (b, 3,
    2048) and bag_bias (b, 3), heads fitted on random halves of the subjects; conformal (), the 90 %
    quantile of 1 - p of the true class (Sadinle et al. 2019); ood_mean (2048,), ood_basis (k, 2048),
    ood_scale (k,), ood_residual (), ood_unit ().
    """

    def __init__(self, constants: dict[str, npt.NDArray[Any]]) -> None:
        self.constants = {name: np.asarray(value, dtype=np.float32) for name, value in constants.items()}

    @classmethod
    def load(cls, path: Path) -> Pooling:
        """Read `head.npz`."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(dict(stored))

    def volume_features(self, features: Floats) -> Floats:
        """(v, 32, 2048) -> (v, 2048), slices weighted by their position."""
        return np.asarray(np.einsum("vsk,s->vk", features, self.constants["slice_weights"]))

    def probabilities(self, slice_logits: Floats) -> Floats:
        """(v, 32, 3) -> (v, 3): weighted mean over slices, then the temperature (Guo et al. 2017)."""
        pooled = np.einsum("vsc,s->vc", slice_logits, self.constants["slice_weights"])
        return softmax((pooled + self.constants["bias"]) / self.constants["temperature"])

    def interval(self, features: Floats, probabilities: Floats) -> Floats:
        """(v, 3, 2): 5th and 95th percentile over the bagged heads, widened to hold the probability."""
        volume = self.volume_features(features)
        logits = np.einsum("bck,vk->bvc", self.constants["bag_weight"], volume)
        logits += self.constants["bag_bias"][:, None]
        bagged = softmax((logits + self.constants["bias"]) / self.constants["temperature"])
        low, high = np.percentile(bagged, (5, 95), axis=0)
        ends = (np.minimum(low, probabilities), np.maximum(high, probabilities))
        return np.stack(ends, axis=-1).astype(np.float32)

    def out_of_distribution(self, features: Floats) -> Floats:
        """(v,): Mahalanobis distance along the training features' main directions and off them.

        1.0 is the 99th percentile of held-out training subjects.
        """
        centred = self.volume_features(features) - self.constants["ood_mean"]
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


def read_body(body: bytes | bytearray) -> npt.NDArray[np.uint8]:
    """(volumes, 32, 208, 176) uint8, sent bare or as `slices` of an .npz; BadBodyError on anything else."""
    if body and len(body) % (SLICES * HEIGHT * WIDTH) == 0:
        return np.frombuffer(body, np.uint8).reshape(-1, SLICES, HEIGHT, WIDTH)
    if bytes(body[:2]) != b"PK":
        raise BadBodyError("the body must be whole volumes of uint8, or an .npz with `slices`")
    try:
        with np.load(io.BytesIO(bytes(body)), allow_pickle=False) as parts:
            slices = parts["slices"]
    except Exception as error:  # a hostile zip can raise anything, all the sender's fault
        raise BadBodyError(f"no .npz with `slices`: {type(error).__name__}: {error}") from error
    if slices.ndim != 4 or slices.shape[1:] != (SLICES, HEIGHT, WIDTH) or not len(slices):
        raise BadBodyError(f"`slices` must be (volumes, {SLICES}, {HEIGHT}, {WIDTH}), got {slices.shape}")
    if slices.dtype != np.uint8:
        raise BadBodyError(f"`slices` must be uint8, got {slices.dtype}")
    return np.asarray(slices)


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
        self.fast: Any = None  # accelerated.Accelerated where there is a GPU

    def forward(self, stacks: npt.NDArray[np.uint8]) -> Forward:
        """(v, 32, 208, 176) uint8 -> per-slice outputs."""
        slices = torch.from_numpy(np.ascontiguousarray(stacks).reshape(-1, HEIGHT, WIDTH))
        found = self.fast(slices) if self.fast else self._on_cores(slices)
        outputs = [part.numpy() for part in found]
        logits, maps, features = (part.reshape(-1, SLICES, *part.shape[1:]) for part in outputs)
        return Forward(logits=logits, maps=maps, features=features)

    def _on_cores(self, slices: torch.Tensor) -> list[torch.Tensor]:
        pieces = slices.split(min(CHUNK, -(-len(slices) // self.threads)))
        chunks = list(self._pool.map(self._look, pieces) if self.threads > 1 else map(self._look, pieces))
        return [torch.cat(part) for part in zip(*chunks, strict=True)]

    def _look(self, slices: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with torch.inference_mode():
            return tuple(self.network(slices))

    def answer(self, stacks: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[Any]]:
        """All arrays of the response for (v, 32, 208, 176) uint8."""
        seen = self.forward(stacks)
        probabilities = self.pooling.probabilities(seen.logits)
        return {
            "probabilities": probabilities,
            "interval": self.pooling.interval(seen.features, probabilities),
            "slice_logits": seen.logits,
            "maps": seen.maps.astype(np.float16),
            "ood": self.pooling.out_of_distribution(seen.features),
            "prediction_set": self.pooling.prediction_set(probabilities),
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
    stacks: dict[int, npt.NDArray[np.uint8]] = {}
    for index, request in enumerate(requests):
        try:
            stacks[index] = read_body(request.get("body") or request.get("data") or b"")
        except BadBodyError as error:
            answers[index] = _refuse(context, index, str(error))
    if stacks:
        results = _loaded[0].answer(np.concatenate(list(stacks.values())))
        about = _about(_loaded[0], time.perf_counter() - started) | {"started": round(began, 6)}
        first = 0
        for index, stack in stacks.items():
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
    return about | {"seconds": round(seconds, 4)}
