"""TorchServe handler: uint8 stacks in, one calibrated volume result with its explanation out."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .accelerated import accelerated
from .bodies import BadBodyError, read_body, write_result
from .model import Model, keep_memory
from .shapes import Floats

log = logging.getLogger(__name__)
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
    keep_memory()
    served = getattr(context, "model_yaml_config", None) or {}
    model = Model(Path(context.system_properties["model_dir"]), threads=_threads(served))
    model.fast = accelerated(model.network, context.system_properties.get("gpu_id"))
    _loaded[:] = [model]
    log.info("model %s, engine %s, threads %d", model.digest, model.engine, model.threads)


def _threads(served: dict[str, Any]) -> int:
    """HIPPOCAMP_MODEL_THREADS, else `handler: threads` of serving.yaml, else its share of the cores."""
    told = (os.environ.get("HIPPOCAMP_MODEL_THREADS"), served.get("handler", {}).get("threads"))
    share = max(1, len(os.sched_getaffinity(0)) // int(served.get("maxWorkers", 1)))
    return next((count for count in (int(one or 0) for one in told) if count), share)


def _refuse(context: Any, index: int, message: str) -> bytes:
    context.set_response_status(code=400, idx=index)
    context.set_response_content_type(index, "application/json")
    return json.dumps({"code": 400, "message": message}).encode()


def _about(model: Model, seconds: float) -> dict[str, Any]:
    engine = model.fast.engine if model.fast else model.engine
    about = {"model_digest": model.digest, "engine": engine, "int8": not model.fast}
    about |= {"card": model.card, "threads": model.threads}
    return about | {"seconds": round(seconds, 4)}
