"""Fine-tunes the network on labelled heads and keeps the run in a folder that it can be resumed from.

On slice folders:  python -m model_store.train --data FOLDER --run RUN
On volumes:        python -m model_store.train --volumes FOLDER --table participants.tsv --run RUN
After a kill, the same command goes on where the last epoch ended. RUN/best.pt holds torchvision's names, so
`python -m model_store.release --weights RUN/best.pt` quantizes and calibrates it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from model_store.training.backbone import CAFFE, load_backbone, random_backbone
from model_store.training.cohort import data_folder, weights_file
from model_store.training.head import Labels
from model_store.training.tuning import LAYERS, Epoch, Plan, Tuning, VolumeNetwork, class_weights, judge
from model_store.training.volumes import BadTableError, Heads, slice_folder, volume_folder

CHECKPOINT, BEST = "checkpoint.pt", "best.pt"


def read_heads(chosen: argparse.Namespace, run: Path) -> Heads:
    """The heads that the command line names."""
    if chosen.volumes:
        if not chosen.table:
            raise SystemExit("--volumes needs --table: participant, path, label")
        return volume_folder(chosen.volumes, chosen.table, run / "prepared")
    return slice_folder(data_folder(chosen.data))


def start(plan: Plan, run: Path, weights: Path | None, *, random: bool, device: str) -> Tuning:
    """A fresh run, or the one that the folder holds. SystemExit when the folder holds another plan."""
    torch.manual_seed(plan.seed)
    backbone, convention = (random_backbone(), CAFFE) if random else load_backbone(weights)
    tuning = Tuning(VolumeNetwork(backbone, convention, plan.pooling), plan, torch.device(device))
    written = run / "config.json"
    if written.is_file():
        if (before := json.loads(written.read_text())["plan"]) != plan.to_json():
            different = sorted(name for name, value in plan.to_json().items() if before.get(name) != value)
            raise SystemExit(f"{run} holds a run with another {', '.join(different)}: take another --run")
        if (run / CHECKPOINT).is_file():
            tuning.restore(torch.load(run / CHECKPOINT, map_location=device, weights_only=True))
            sys.stderr.write(f"goes on after epoch {tuning.epoch}\n")
    return tuning


def train(tuning: Tuning, heads: Heads, run: Path) -> dict[str, Any]:
    """Epochs until the validation loss has not fallen for `patience` of them; metrics of the best one."""
    plan = tuning.plan
    rows, held = heads.split(plan.validation, plan.seed)
    prior = class_weights(heads.stages[rows])
    _say_what_is_missing(heads.stages[held])
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        whole = progress.add_task("epochs", total=plan.epochs, completed=tuning.epoch)
        while tuning.epoch < plan.epochs and not _stale(tuning):
            steps = progress.add_task(f"epoch {tuning.epoch + 1}", total=-(-len(rows) // plan.subjects))
            losses = []
            for loss in tuning.train_epoch(heads, rows, prior):
                losses.append(loss)
                progress.update(steps, advance=1, description=f"epoch {tuning.epoch + 1} loss {loss:.3f}")
            found = judge(tuning.predict(heads, held), heads.stages[held])
            if not np.isfinite([*losses, found["validation_loss"]]).all():
                raise SystemExit(f"epoch {tuning.epoch}: the loss is no number; take a smaller --rate")
            tuning.history.append({"epoch": tuning.epoch, "loss": float(np.mean(losses)), **found})
            keep(tuning, run)
            progress.remove_task(steps)
            progress.update(whole, completed=tuning.epoch)
    best = min(tuning.history, key=lambda one: one["validation_loss"])
    return {"best": best, "epochs": tuning.epoch, "training": len(rows), "validation": len(held)}


def _say_what_is_missing(stages: Labels) -> None:
    if len(set((stages > 0).tolist())) < 2:
        side = "CDR > 0" if (stages > 0).all() else "CDR 0"
        sys.stderr.write(f"validation_auc is null: all {len(stages)} validation subjects have {side}\n")


def _stale(tuning: Tuning) -> bool:
    losses = [one["validation_loss"] for one in tuning.history]
    return bool(losses) and len(losses) - 1 - int(np.argmin(losses)) >= tuning.plan.patience


def keep(tuning: Tuning, run: Path) -> None:
    """Write checkpoint, best network, history, curves; a kill at any moment leaves the last epoch whole."""
    last = tuning.history[-1]
    if last["validation_loss"] <= min(one["validation_loss"] for one in tuning.history):
        state = tuning.network.backbone.state_dict()
        head = {f"head.{name}": value for name, value in tuning.network.head.state_dict().items()}
        _save({name: value.cpu() for name, value in {**state, **head}.items()}, run / BEST)
    (run / "history.json").write_text(json.dumps(tuning.history, indent=1) + "\n")
    draw_curves(tuning.history, run / "curves.png")
    _save(tuning.state(), run / CHECKPOINT)


def _save(what: object, path: Path) -> None:
    fresh = path.with_suffix(".new")
    torch.save(what, fresh)
    fresh.replace(path)


def draw_curves(history: list[Epoch], path: Path) -> None:
    """Loss of training and validation, and the validation AUC where there is one, by epoch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [one["epoch"] for one in history]
    left.plot(epochs, [one["loss"] for one in history], "o-", label="training")
    left.plot(epochs, [one["validation_loss"] for one in history], "o-", label="validation")
    left.set(xlabel="epoch", ylabel="log loss")
    left.legend()
    areas = np.array([one["validation_auc"] for one in history], dtype=np.float64)
    right.plot(epochs, areas, "o-", color="tab:green")
    right.axhline(0.5, color="grey", linewidth=0.8)
    right.set(xlabel="epoch", ylabel="AUC, CDR > 0 against 0, validation", ylim=(0, 1))
    figure.savefig(path, dpi=110)


def _weights(chosen: argparse.Namespace) -> Path | None:
    """The file to start from; None: random ones or torchvision's own."""
    if chosen.random:
        return None
    if chosen.volumes:
        return Path(chosen.weights) if chosen.weights else None
    return weights_file(data_folder(chosen.data), chosen.weights)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--data", help="folder of slices (default: $HIPPOCAMP_DATA)")
    given.add_argument("--volumes", type=Path, help="folder that the table's paths start from")
    given.add_argument("--table", type=Path, help="csv or tsv: participant, path, label")
    given.add_argument("--run", type=Path, required=True, help="folder of the run")
    given.add_argument(
        "--weights", help="v1 ResNet50 state dict; default: beside the data, else torchvision's"
    )
    given.add_argument("--random", action="store_true", help="start from random weights")
    given.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    choices = {
        "train_from": [*LAYERS, "head"],
        "pooling": ["mean", "attention"],
        "precision": ["auto", "float32", "bfloat16", "float16"],
    }
    for one in fields(Plan):
        kind = type(one.default)
        option = f"--{one.name.replace('_', '-')}"
        given.add_argument(option, type=kind, default=one.default, choices=choices.get(one.name))
    return given


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, train, print where everything lies."""
    chosen = parser().parse_args(arguments)
    plan = Plan(**{one.name: getattr(chosen, one.name) for one in fields(Plan)})
    run: Path = chosen.run
    run.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "0")) or torch.get_num_threads())
    try:
        heads = read_heads(chosen, run)
    except BadTableError as error:
        raise SystemExit(str(error)) from error
    weights = _weights(chosen)
    tuning = start(plan, run, weights, random=chosen.random, device=chosen.device)
    about = {
        "plan": plan.to_json(),
        "subjects": len(set(heads.groups.tolist())),
        "device": chosen.device,
        "torch": torch.__version__,
        "weights": str(weights) if weights else "random" if chosen.random else "torchvision",
    }
    (run / "config.json").write_text(json.dumps(about, indent=1) + "\n")
    metrics = train(tuning, heads, run)
    (run / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    sys.stdout.write(f"best epoch {metrics['best']}\nrun in {run}\n")


if __name__ == "__main__":
    main()
