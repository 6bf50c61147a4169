"""Do the maps point at what the answer is made of? Deletion and insertion curves on left-out subjects.

`python -m model_store.evaluation.faithfulness --data $HIPPOCAMP_DATA [--out FOLDER]`: places of a slice are
blurred away, the most important first, and the slice's probability is followed (deletion); or they are put
into the blurred slice (insertion; Petsiuk et al. 2018). Beside the maps' order: a random one, and one from
the brain's centre outwards. The head is fitted on four fifths of the subjects, the slices are the others'.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track
from scipy.ndimage import gaussian_filter

from model_store.release.build import FOLDS, head_constants, look_stacks, put_head, quantized
from model_store.served.pooling import Forward, Pooling, pooled
from model_store.served.shapes import SLICES, Floats
from model_store.served.softening import softened
from model_store.training.cohort import Cohort, data_folder, read_cohort, weights_file
from model_store.training.features import Network
from model_store.training.head import Doubles, Labels, fit_head
from model_store.training.nuisance import fit_look, look_moves
from model_store.training.recipe import SHIPPED

ORDERS = ("map", "random", "centre")
STEPS, BLUR, SHOWN = 8, 12.0, (4, 12, 20, 28)
"""Points of a curve; pixels of the Gaussian that takes a place's content away; slices of each subject."""
STAGES = (0, 2)
"""CDR 0 and CDR >= 1: the two ends of the one severity that all maps show."""
Slice = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Curves:
    """(subjects, orders, steps + 1) mean probability of the explained stage: `deletion` and `insertion`."""

    deletion: Doubles
    insertion: Doubles


@dataclass(frozen=True)
class Explained:
    """A network whose head saw none of the subjects that are looked at, with its pooling."""

    network: Network
    pooling: Pooling

    def seen(self, slices: Slice, place: int) -> Forward:
        """(n, 208, 176) versions of the slice at `place`, each as a volume that is empty elsewhere."""
        with torch.inference_mode():
            logits, evidence, features = (part.numpy() for part in self.network(torch.from_numpy(slices)))
        return Forward(*(_at(part, place) for part in (logits, evidence, features)))

    def probabilities(self, slices: Slice, place: int) -> Floats:
        """(n, 3) of the slice alone."""
        logits = self.pooling.slice_logits(self.seen(slices, place))[:, place : place + 1]
        return self.pooling.probabilities(logits)

    def maps(self, one: Slice, place: int) -> Floats:
        """(3, h, w) of one slice (208, 176)."""
        return np.asarray(self.pooling.maps(self.seen(one[None], place))[0, place])


def _at(part: Floats, place: int) -> Floats:
    whole = np.zeros((len(part), SLICES, *part.shape[1:]), np.float32)
    whole[:, place] = part
    return whole


def ranked(importance: Floats, one: Slice, chooser: np.random.Generator) -> dict[str, Labels]:
    """Places of the h x w grid that hold brain, the first to go first, by every order.

    importance: (h, w). Ties (a map is 0 wherever the evidence speaks against its stage) are broken by lot.
    """
    places = grid_of(one.shape, importance.shape)
    lit = np.bincount(places[one > 0], minlength=importance.size) > 0.1 * np.bincount(places.ravel())
    inside = chooser.permutation(np.flatnonzero(lit))
    rows, columns = np.divmod(inside, importance.shape[1])
    middle = np.average(np.argwhere(one > 0), axis=0) / one.shape * importance.shape - 0.5
    away = np.hypot(rows - middle[0], columns - middle[1])
    by = {"map": -importance.ravel()[inside], "random": np.zeros(len(inside)), "centre": away}
    return {name: inside[np.argsort(by[name], kind="stable")] for name in ORDERS}


def grid_of(shape: tuple[int, ...], grid: tuple[int, ...]) -> Labels:
    """(height, width) number of the grid's place that each pixel lies in."""
    rows, columns = (np.arange(n) * cells // n for n, cells in zip(shape, grid, strict=True))
    return np.asarray(rows[:, None] * grid[1] + columns[None], dtype=np.int64)


def versions(one: Slice, order: Labels, grid: tuple[int, ...], *, insert: bool) -> Slice:
    """(steps + 1, height, width): from untouched to all places blurred, or the other way round."""
    blurred = gaussian_filter(one.astype(np.float32), BLUR).round().astype(np.uint8)
    start, goal = (blurred, one) if insert else (one, blurred)
    place = grid_of(one.shape, grid)
    counts = np.linspace(0, len(order), STEPS + 1).round().astype(int)
    return np.stack([np.where(np.isin(place, order[:count]), goal, start) for count in counts])


def follow(explained: Explained, stack: Slice, *, seed: int) -> tuple[Doubles, Doubles]:
    """(deletion, insertion), each (orders, steps + 1), over the shown slices and both ends of severity."""
    chooser, sums = np.random.default_rng(seed), np.zeros((2, len(ORDERS), STEPS + 1))
    for place in SHOWN:
        maps = explained.maps(stack[place], place)
        for stage in STAGES:
            orders = ranked(maps[stage], stack[place], chooser)
            for way in (0, 1):
                for row, name in enumerate(ORDERS):
                    shown = versions(stack[place], orders[name], maps.shape[1:], insert=bool(way))
                    sums[way, row] += explained.probabilities(shown, place)[:, stage]
    deletion, insertion = sums / (len(SHOWN) * len(STAGES))
    return deletion, insertion


def left_out(cohort: Cohort, weights: Path | None, *, seed: int) -> tuple[Explained, Labels]:
    """The released recipe without the first fold's subjects, and those subjects' rows."""
    int8, features = quantized(cohort, weights, seed=seed)
    train, held = cohort.folds(FOLDS, seed)[0]
    look = fit_look(pooled(features), look_moves(int8, look_stacks(cohort, seed)), SHIPPED)
    volume = Pooling(look).volume_features(features).astype(np.float64)
    head = fit_head(volume[train], cohort.truth.rows(train))
    put_head(int8, head, look)
    plain = {"temperature": np.ones(()), "bias": np.zeros(3)}
    return Explained(int8, Pooling({**look, **head_constants(head, look), **plain})), held


def measure(cohort: Cohort, weights: Path | None, *, seed: int, limit: int | None = None) -> Curves:
    """Curves of every left-out subject, or of `limit` of them; about two seconds a subject and core."""
    explained, held = left_out(cohort, weights, seed=seed)
    shown = [softened(cohort.stack(cohort.subjects[row])[None])[0] for row in held[:limit]]
    pairs = [follow(explained, stack, seed=n) for n, stack in enumerate(track(shown, "following"))]
    deletion, insertion = (np.stack(part) for part in zip(*pairs, strict=True))
    return Curves(deletion, insertion)


def area(curves: Doubles) -> Doubles:
    """(..., steps + 1) -> (...): mean height of each curve, by trapezoids."""
    return np.asarray(np.trapezoid(curves, axis=-1) / STEPS)


def margins(curves: Curves) -> dict[str, tuple[float, float, float]]:
    """How much better the map is than each other order, with the 95 % bootstrap interval over subjects.

    In units of probability; above 0 the map finds what the answer is made of sooner.
    """
    chooser, found = np.random.default_rng(0), {}
    rows = chooser.integers(0, len(curves.deletion), (2000, len(curves.deletion)))
    for way, sign, curve in (("deletion", -1, curves.deletion), ("insertion", 1, curves.insertion)):
        heights = area(curve)
        for other in (1, 2):
            gain = sign * (heights[:, 0] - heights[:, other])
            low, high = np.percentile(gain[rows].mean(axis=1), (2.5, 97.5))
            found[f"{way} against {ORDERS[other]}"] = float(gain.mean()), float(low), float(high)
    return found


def draw(curves: Curves, path: Path) -> None:
    """Both families of curves, mean over subjects."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 3.4), layout="constrained")
    share = np.linspace(0, 100, STEPS + 1)
    titles = {"deletion": "blurred away (lower is better)", "insertion": "put in (higher is better)"}
    for axes, (way, title) in zip(figure.subplots(1, 2, sharey=True), titles.items(), strict=True):
        for row, name in enumerate(ORDERS):
            axes.plot(share, getattr(curves, way)[:, row].mean(axis=0), label=name)
        axes.set(xlabel=f"% of the brain's places {title}")
    figure.axes[0].set_ylabel("probability of the explained stage")
    figure.axes[0].legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Parse the command line and print; the exit status is 1 unless the map is better than both others."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="folder that holds oasis1/ (default: $HIPPOCAMP_DATA)")
    parser.add_argument("--weights", help="the ImageNet weights the release was made from")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--limit", type=int, help="subjects to look at (default: all of the fold)")
    parser.add_argument("--out", type=Path, help="folder for faithfulness.json and faithfulness.png")
    chosen = parser.parse_args()
    folder = data_folder(chosen.data)
    weights = weights_file(folder, chosen.weights)
    curves = measure(read_cohort(folder), weights, seed=chosen.seed, limit=chosen.limit)
    found = margins(curves)
    for name, (mean, low, high) in found.items():
        sys.stdout.write(f"  {name:26s} {mean:+.4f} [{low:+.4f}, {high:+.4f}]\n")
    if chosen.out:
        chosen.out.mkdir(parents=True, exist_ok=True)
        draw(curves, chosen.out / "faithfulness.png")
        (chosen.out / "faithfulness.json").write_text(json.dumps(found, indent=1) + "\n")
    if min(low for _, low, _ in found.values()) <= 0:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
