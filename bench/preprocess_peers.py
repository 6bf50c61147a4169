"""The same heads through other tools, in the same run: seconds, and how exactly each finds known affines.

Every peer gets what it likes best: the brain as deepbet strips it, and the template's brain. One thread each.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from bench.heads import Variant, load_head, variants
from bench.preprocess_measures import apart, examine, put_on_at, white_voxels
from bench.preprocess_reference import shipped_mask
from preprocessing_service.assets import cache_folder, template_file
from preprocessing_service.steps.bias import estimate
from preprocessing_service.steps.conform import conform
from preprocessing_service.steps.quality import Prepared
from preprocessing_service.steps.register import register
from preprocessing_service.template import load_template
from preprocessing_service.volume import Matrix

PACKAGES = ("SimpleITK==2.5.7", "antspyx==0.6.3", "picsl_greedy==1.4.0.3")
AFFINES = ("SimpleITK", "ants", "greedy")
POSES = ("pitch 25", "scale 1.25", "bias of coils 0.20")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}


@dataclass
class Peer:
    """What one tool took for every image, and how far it was off: mm of affines, or the field left."""

    name: str
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)

    def line(self) -> str:
        """One row of the table."""
        off = f"{np.mean(self.errors):9.3f}{max(self.errors):9.3f}" if self.errors else " " * 18
        times = f"{statistics.median(self.cpu):8.2f}{statistics.median(self.wall):8.2f}"
        return f"{self.name:28s}{times}{off}  ({len(self.cpu)} images)"


def peers_python() -> Path:
    """The interpreter of the peers' environment, made on first use beside the template's structures."""
    folder = cache_folder() / "bench" / "preprocess-peers"
    python = folder / "bin" / "python"
    ready = folder / ("-".join(PACKAGES) + ".ready")
    if not ready.exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES, "numpy"], check=True)
        ready.touch()
    return python


def ask(tool: str, fixed: Path, moving: Path) -> dict[str, Any]:
    """Seconds and finding of one tool on one image, in a process of its own."""
    script = Path(__file__).parent / "preprocess_peer.py"
    command = [str(peers_python()), str(script), tool, str(fixed), str(moving)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | ONE_THREAD)
    return dict(json.loads(done.stdout.splitlines()[-1]))


@dataclass(frozen=True)
class Pose:
    """One head as it lies: what was done to it, what we made of it, and its brain in a file for the peers."""

    variant: Variant
    ours: Prepared
    file: Path


def compare_with_peers(names: tuple[str, ...]) -> list[Peer]:
    """Affines by every tool and by us, fields by N4 and by us, and what deepbet's stripping takes."""
    stripping, ours, bias = Peer("deepbet as shipped"), Peer("ours: registration"), Peer("ours: bias field")
    peers, n4_peer = [Peer(f"{tool}: affine") for tool in AFFINES], Peer("SimpleITK: N4, shrink 4")
    fixed = template_file("t1")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            poses = list(_poses(name, Path(folder), stripping))
            for tool, peer in zip(AFFINES, peers, strict=True):
                _note(peer, poses, [ask(tool, fixed, pose.file) for pose in poses])
            _note(ours, poses, [_timed(lambda p=pose: _registered(p)) for pose in poses])
            _fields(poses, (n4_peer, bias), Path(folder))
    return [stripping, *peers, ours, n4_peer, bias]


def _poses(name: str, folder: Path, stripping: Peer) -> Iterator[Pose]:
    head = load_head(name)
    wanted = [one for one in variants(head) if one.name in POSES]
    for number, variant in enumerate([Variant("plain", head, np.eye(4)), *wanted]):
        seen = conform(variant.volume)
        found = _timed(lambda v=seen: shipped_mask(v))
        stripping.cpu.append(found["cpu"])
        stripping.wall.append(found["wall"])
        file = folder / f"{number}.nii.gz"
        brain = np.where(found["found"], seen.voxels, 0).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(brain, seen.affine), file)  # type: ignore[no-untyped-call]
        yield Pose(variant, examine(variant.volume), file)


def _timed(work: Callable[[], Any]) -> dict[str, Any]:
    begun = time.process_time(), time.perf_counter()
    found = work()
    return {
        "cpu": time.process_time() - begun[0],
        "wall": time.perf_counter() - begun[1],
        "found": found,
    }


def _registered(pose: Pose) -> Matrix:
    return register(pose.ours.coarse, load_template()).matrix


def _note(peer: Peer, poses: list[Pose], answers: list[dict[str, Any]]) -> None:
    """Seconds of every pose, and each affine's distance from the plain head's own, moved as the head was."""
    matrices = [np.asarray(answer["found"]) for answer in answers]
    peer.cpu += [answer["cpu"] for answer in answers]
    peer.wall += [answer["wall"] for answer in answers]
    peer.errors += [
        apart(np.linalg.inv(pose.variant.moved) @ matrix, matrices[0])
        for pose, matrix in zip(poses[1:], matrices[1:], strict=True)
    ]


def _fields(poses: list[Pose], peers: tuple[Peer, Peer], folder: Path) -> None:
    """The field left in white matter by N4 and by us, on the head that was given one."""
    plain, given = poses[0], next(pose for pose in poses if pose.variant.name.startswith("bias"))
    head, file = plain.variant.volume, folder / "points.npy"
    index, terms = white_voxels(head, plain.ours)
    np.save(file, index)
    put_on = put_on_at(head, given.variant.volume, index)
    answers = [ask("n4", file, pose.file) for pose in (plain, given)]
    tissues = [
        _timed(lambda p=pose: estimate(p.ours.coarse, p.ours.alignment, load_template().priors))
        for pose in (plain, given)
    ]
    fields = [np.asarray(answer["found"]) for answer in answers], [terms @ t["found"].field for t in tissues]
    for peer, spent, (before, after) in zip(peers, (answers, tissues), fields, strict=True):
        peer.cpu += [one["cpu"] for one in spent]
        peer.wall += [one["wall"] for one in spent]
        peer.errors.append(float((put_on - (after - before)).std()))
