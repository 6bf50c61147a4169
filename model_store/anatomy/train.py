"""Train the anatomy network: `python -m model_store.anatomy.train --label-maps FOLDER --run RUN`.

1. The label maps are aligned and cut once (RUN/sources, label_maps.py).
2. Every step draws one anatomy: a whole hemisphere, or two pictures of its temporal lobe (generator.py).
3. From FREEZE of the steps on, the norms keep the statistics of whole hemispheres, as they are used later.
4. RUN/checkpoint.pt holds everything to go on after an interruption; the same command resumes.
5. The rule for what is shipped, fixed before any result was seen: the averaged weights after the number of
   steps that was set; the load of the machine changes only how long it takes. No checkpoint is chosen by a
   score. `model_store.anatomy.export` writes them.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from model_store.anatomy.generator import Generator, TrainingBatch
from model_store.anatomy.label_maps import FOLDER_VARIABLE, Source, chosen_folder, load_sources, make_sources
from model_store.anatomy.losses import Loss, loss_of
from model_store.anatomy.network import AnatomyNet, from_grey

RATE, LEAST_RATE, DECAY, WARM_UP, CLIP = 3e-3, 1e-5, 1e-3, 50, 2.0
AVERAGING = 0.998
FREEZE = 0.6
SETTLING, SETTLING_SEED = 32, 10**6
"""Whole hemispheres over which the norms' statistics are taken."""

SAVE_EVERY, LOG_EVERY = 100, 20
CHECKPOINT = "checkpoint.pt"


@dataclass
class State:
    """A training that can be interrupted. averaged: the mean of the parameters over the last steps."""

    model: AnatomyNet
    optimiser: torch.optim.Optimizer
    averaged: dict[str, Tensor]
    step: int = 0
    seconds: float = 0.0
    frozen: bool = False
    rows: list[list[float]] = field(default_factory=list)

    @classmethod
    def begin(cls, seed: int) -> State:
        """With random weights."""
        torch.manual_seed(seed)
        model = AnatomyNet()
        for value in model.parameters():
            if value.ndim == 5:
                value.data = value.data.contiguous(memory_format=torch.channels_last_3d)
        optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
        return cls(model, optimiser, {k: v.detach().clone() for k, v in model.named_parameters()})

    def save(self, path: Path) -> None:
        """Written aside and renamed, so that an interruption leaves the last whole file."""
        parts = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "averaged": self.averaged,
            "progress": {"step": self.step, "seconds": self.seconds, "frozen": self.frozen},
        }
        torch.save(parts, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def restore(self, path: Path) -> None:
        """Go on from what `save` wrote."""
        parts: dict[str, Any] = torch.load(path, weights_only=True)
        self.model.load_state_dict(parts["model"])
        self.optimiser.load_state_dict(parts["optimiser"])
        self.averaged = parts["averaged"]
        for name, value in parts["progress"].items():
            setattr(self, name, value)


def train(state: State, sources: list[Source], *, steps: int, run: Path, seed: int = 0) -> None:
    """Until `steps` are made, those before an interruption included."""
    begun = time.monotonic() - state.seconds
    batches = Generator(sources, seed=seed, first=state.step)
    loader: DataLoader[TrainingBatch] = DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=4)
    enter(state)
    for batch in loader:
        done = min(1.0, state.step / steps)
        if done >= FREEZE and not state.frozen:
            settle(state.model, sources)
            state.frozen = True
            enter(state)
        for group in state.optimiser.param_groups:
            group["lr"] = rate_at(state.step, done)
        found = learn(state, batch, done)
        state.rows.append([found.total.item(), *found.dice.tolist(), *found.volume.tolist()])
        state.seconds = time.monotonic() - begun
        if state.step % LOG_EVERY == 0:
            log(state, run)
        if state.step % SAVE_EVERY == 0 or state.step >= steps:
            state.save(run / CHECKPOINT)
        if state.step >= steps:
            return


def as_input(batch: TrainingBatch) -> Tensor:
    """(n, 1, x, y, z) in the order of memory that 3-D convolutions like."""
    grey = torch.from_numpy(batch.pictures)[:, None]
    return from_grey(grey).contiguous(memory_format=torch.channels_last_3d)


def rate_at(step: int, done: float) -> float:
    """The learning rate: a short rise, then a cosine to nearly nothing at the last step."""
    return float(RATE * min(1, (step + 1) / WARM_UP) * (0.5 + 0.5 * np.cos(np.pi * done)) + LEAST_RATE)


def learn(state: State, batch: TrainingBatch, done: float) -> Loss:
    """One step; the averaged weights follow."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = state.model(as_input(batch), batch.corner)
    found = loss_of(logits, torch.from_numpy(batch.shares), done)
    state.optimiser.zero_grad()
    found.total.backward()
    nn.utils.clip_grad_norm_(state.model.parameters(), CLIP)
    state.optimiser.step()
    state.step += 1
    follow = 1 - min(AVERAGING, 1 - 1 / (state.step / 3 + 1))
    with torch.no_grad():
        for name, value in state.model.named_parameters():
            state.averaged[name].lerp_(value, follow)
    return found


def settle(model: AnatomyNet, sources: list[Source]) -> None:
    """Take the norms' statistics anew, on whole hemispheres that no step of the training sees."""
    batches = Generator(sources, seed=SETTLING_SEED, whole=True)
    for norm in norms(model):
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all
    model.train()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        for step in range(SETTLING):
            model(as_input(batches.batch(step)))


def enter(state: State) -> None:
    """Training mode, but for norms that are frozen."""
    state.model.train()
    for norm in norms(state.model) if state.frozen else ():
        norm.eval()


def norms(model: nn.Module) -> list[nn.BatchNorm3d]:
    """Every batch norm."""
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm3d)]


def log(state: State, run: Path) -> None:
    """One line of RUN/log.csv: step, seconds, then the means over the last steps."""
    with (run / "log.csv").open("a") as file:
        mean = np.mean(state.rows, 0)
        csv.writer(file).writerow([state.step, round(state.seconds), *(f"{v:.4f}" for v in mean)])
    state.rows.clear()


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--label-maps", type=Path, help=f"folder of .nii.gz maps; else {FOLDER_VARIABLE}")
    parser.add_argument(
        "--run", type=Path, required=True, help="sources, checkpoint and log; made when missing"
    )
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    folder: Path = chosen.run / "sources"
    if not any(folder.glob("*.npz")):
        make_sources(chosen_folder(chosen.label_maps), folder)
    torch.set_num_threads(chosen.threads)
    state = State.begin(chosen.seed)
    if (chosen.run / CHECKPOINT).exists():
        state.restore(chosen.run / CHECKPOINT)
    train(state, load_sources(folder), steps=chosen.steps, run=chosen.run, seed=chosen.seed)
    sys.stdout.write(f"{state.step} steps in {state.seconds:.0f} s, in {chosen.run}\n")


if __name__ == "__main__":
    main()
