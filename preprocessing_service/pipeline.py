"""The whole path from one volume file to the stack, step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from contracts.errors import QualityRefused, RegistrationFailed, TooLarge
from contracts.stack import Stack
from preprocessing_service.brain_extraction.network import coarse_network, fine_network
from preprocessing_service.coarse import CoarseHead, coarsen
from preprocessing_service.sheet import quality_sheet
from preprocessing_service.steps.bias import estimate
from preprocessing_service.steps.brain_image import keep
from preprocessing_service.steps.conform import conform, settled
from preprocessing_service.steps.ground import grounded
from preprocessing_service.steps.normalise import normalise
from preprocessing_service.steps.outline import HELD, register_outline
from preprocessing_service.steps.quality import Prepared, measure, overlap
from preprocessing_service.steps.read import read
from preprocessing_service.steps.register import Alignment, register
from preprocessing_service.steps.resample import grid_to_world, resample
from preprocessing_service.steps.rules import LEAST_OVERLAP, judge
from preprocessing_service.steps.second_extraction import LOSS, doubtful, strip_again, surface_ratio
from preprocessing_service.steps.strip import Brain, strip
from preprocessing_service.template import Template, load_template
from preprocessing_service.volume import Volume

OnStep = Callable[[str], None]
OnSheet = Callable[[bytes], None]
Found = tuple[Brain, CoarseHead, Alignment]
STEPS = ("read", "conform", "strip", "register", "bias", "resample", "normalise", "quality", "keep")
"""In the order they run and are reported."""


class StepClock:
    """Tells a listener which step begins, and keeps the seconds of each."""

    def __init__(self, on_step: OnStep | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._on_step = on_step

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        if self._on_step is not None:
            self._on_step(step)
        begun = time.perf_counter()
        yield
        self.seconds[step] = round(time.perf_counter() - begun, 4)


def prepare(
    path: Path,
    *,
    scratch: Path | None = None,  # noqa: ARG001  part of the contract; no format needs a file of its own yet
    on_step: OnStep | None = None,
    on_sheet: OnSheet | None = None,
    allow_agent: bool = False,
) -> Stack:
    """Turn one volume file into the stack; raises InputError or QualityRefused, nothing else for bad input.

    scratch: a folder for temporary files; every format is decoded in memory within `limits`, so none is made.
    on_step: called with each name of STEPS as that step begins.
    on_sheet: called with the quality sheet (PNG) before the gate judges, so that a refusal has its picture.
    allow_agent: a contrast-enhanced series is read when the study has no plain one.
    """
    with within_memory():
        stack, head = examine(path, on_step=on_step, allow_agent=allow_agent)
        if on_sheet is not None:
            begun = time.perf_counter()
            on_sheet(quality_sheet(head, load_template(), stack.quality))
            stack.seconds["sheet"] = round(time.perf_counter() - begun, 4)
    judge(stack.quality)
    return stack


@contextmanager
def within_memory() -> Iterator[None]:
    """An allocation that the process's limit refused becomes TooLarge; another try would end alike."""
    try:
        yield
    except MemoryError as error:
        raise TooLarge("preparing the volume takes more memory than one job may have") from error
    except RuntimeError as error:
        if "allocate memory" not in str(error):  # torch has no class of its own for it
            raise
        raise TooLarge("preparing the volume takes more memory than one job may have") from error


def align(volume: Volume, seen: tuple[Brain, CoarseHead], template: Template) -> Alignment:
    """By intensities; where these lose the brain, as wide ventricles make them, by its outer surface."""
    brain, coarse = seen
    try:
        found = register(coarse, template)
    except RegistrationFailed:
        return register_outline(coarse, template)
    fit = overlap(volume, brain, found, template)
    if fit >= HELD:
        return found
    with suppress(RegistrationFailed):  # the first alignment is what there is; the gate will judge it
        outer = register_outline(coarse, template)
        return outer if overlap(volume, brain, outer, template) > fit else found
    return found


def look_again(volume: Volume, found: Found, template: Template) -> Found | None:
    """Ask the second network when the brain fits the template badly or is shaped like none; None: keep it."""
    brain, _, alignment = found
    fit = overlap(volume, brain, alignment, template)
    if brain.stripped_before or fit < LEAST_OVERLAP / 2 or not doubtful(fit, surface_ratio(brain, volume)):
        return None
    try:
        brain = strip_again(volume, alignment, template, fine_network)
        coarse = coarsen(volume, brain)
        alignment = align(volume, (brain, coarse), template)
    except QualityRefused:  # the first brain is what there is; the gate will judge it
        return None
    return (brain, coarse, alignment) if overlap(volume, brain, alignment, template) > fit - LOSS else None


def examine(
    path: Path, *, on_step: OnStep | None = None, allow_agent: bool = False
) -> tuple[Stack, Prepared]:
    """The stack with its figures, not yet judged, and what every step found; InputError as in `prepare`."""
    clock, template = StepClock(on_step), load_template()
    with clock("read"):
        stored = read(path, allow_agent=allow_agent)
    with clock("conform"):
        volume = grounded(settled(conform(stored)))
    with clock("strip"):
        brain = strip(volume, coarse_network)
        coarse = coarsen(volume, brain)
    with clock("register"):
        alignment = align(volume, (brain, coarse), template)
        found = look_again(volume, (brain, coarse, alignment), template)
        again, (brain, coarse, alignment) = found is not None, found or (brain, coarse, alignment)
    with clock("bias"):
        tissues = estimate(coarse, alignment, template.priors)
    with clock("resample"):
        intensities = resample(volume, brain, alignment, tissues)
    with clock("normalise"):
        slices = normalise(intensities, tissues, coarse.unit)
    with clock("quality"):
        head = Prepared(volume, brain, coarse, alignment, tissues, slices, again)
        figures = measure(head, template)
    with clock("keep"):
        whole = keep(volume, brain, coarse, alignment, tissues)
    stack = Stack(
        slices,
        grid_to_world(alignment),
        input_shape=stored.shape,
        input_affine=stored.affine,
        quality=figures,
        seconds=clock.seconds,
        source=stored.source,
        series=stored.series,
        brain=whole,
    )
    return stack, head
