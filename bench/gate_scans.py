"""Scans of known contrast to measure the quality gate by: real, changed and drawn ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from bench.changed_heads import Known, atrophied, coarser, known, painted, remapped
from bench.drawn_heads import OTHERS, T1, T1_SOFT, TISSUES, Contrast, Recipe, drawn, load_labels
from bench.heads import coil_biased, noisy
from bench.no_heads import BODIES, PARTS, body
from bench.preprocess_measures import examine
from preprocessing_service.steps.conform import conform
from preprocessing_service.steps.ground import grounded
from preprocessing_service.steps.read import read
from preprocessing_service.volume import Volume

BASE = (1.5, 1.5, 1.5)
"""mm; real heads are changed at this resolution, which is quick and finer than any change."""

LARGEST_VENTRICLES = 280.0
"""ml, as in severe normal pressure hydrocephalus; a head that has wide ones is widened to this."""

VOXELS = ((1.5, 1.5, 1.5), (2.0, 2.0, 2.0), (1.0, 1.0, 5.0), (1.2, 1.2, 1.2))
EVERY = 2
"""Of the label maps one is drawn."""

SAME_PERSON = {"1023": "1003", "1024": "1004", "colin27_brain": "colin27_T1w"}


@dataclass(frozen=True)
class Scan:
    """contrast: "T1", another one, "label map" or "no head". kind: "real", "changed" or "drawn"."""

    name: str
    subject: str
    contrast: str
    kind: str
    make: Callable[[], Volume]


def data_folder() -> Path:
    """HIPPOCAMP_DATA; SystemExit says what to set."""
    root = os.environ.get("HIPPOCAMP_DATA")
    if not root or not (Path(root) / "cases").is_dir():
        raise SystemExit(
            "set HIPPOCAMP_DATA to the folder that holds cases/, volumes/, anatomy/ and label_maps/"
        )
    return Path(root)


def scans(*, quick: bool) -> Iterator[Scan]:
    """Every scan; quick: the real ones as they are, and one head changed and one drawn in every way."""
    root = data_folder()
    yield from _others(root)
    for number, file in enumerate(_real(root)):
        subject = file.name.split(".")[0].removesuffix("_t1_brain")
        subject = SAME_PERSON.get(subject, subject)
        yield Scan(f"{file.name}", subject, "T1", "real", partial(_read, file))
        if not quick or number == 0:
            few = file.parent.name == "anatomy"
            yield from _changed(file, subject, few=few)
    maps = sorted((root / "label_maps").glob("seg_*.nii.gz"))
    for number, file in enumerate(maps[:1] if quick else maps[::EVERY]):
        yield from _drawn(file, number)
    whole = root / "volumes" / "ds000031_T1w.nii.gz"
    for part, change in PARTS.items():
        make = partial(_part, whole, change)
        yield Scan(f"{whole.name}: {part}", "parts", "no head", "changed", make)
    for name, radii in BODIES.items():
        yield Scan(name, name, "no head", "drawn", partial(body, radii))


def _real(root: Path) -> list[Path]:
    cases = [*sorted((root / "cases").glob("elderly_t1_*.nii.gz")), root / "cases" / "sag_t1_plain.zip"]
    return [
        *cases,
        *sorted((root / "volumes").iterdir()),
        *sorted((root / "anatomy").glob("*_t1_brain.nii.gz")),
    ]


def _others(root: Path) -> Iterator[Scan]:
    """Real scans named by their contrast: flair_a.nii.gz is a FLAIR; the same in the folder `others`."""
    cases = sorted((root / "cases").glob("flair_*.nii.gz"))
    for file in [*cases, *sorted((root / "others").glob("*.nii.gz"))]:
        name = file.name.removesuffix(".nii.gz")
        contrast = name.split("_")[0].upper()
        yield Scan(file.name, name, contrast, "real", partial(_read, file))
        for change, make in _disturbances(file).items() if file in cases else ():
            yield Scan(f"{file.name}: {change}", name, contrast, "changed", make)


def _disturbances(file: Path) -> dict[str, Callable[[], Volume]]:
    """What must not make a T1 of another contrast."""
    return {
        "2 x 2 x 6 mm": lambda: coarser(_read(file), (2, 2, 6)),
        "noise 7 %": lambda: noisy(_float(_read(file)), 0.07),
        "coils 0.20": lambda: coil_biased(_float(_read(file)), 0.2),
        "ventricles x 2.5": lambda: atrophied(known(examine(_read(file))), ventricles=2.5, sulci=1.5),
    }


def _float(volume: Volume) -> Volume:
    return Volume(np.ascontiguousarray(volume.voxels, np.float32), volume.affine)


def _read(file: Path) -> Volume:
    return grounded(conform(read(file)))


@cache
def _last(file: Path) -> Known:
    return known(examine(coarser(_read(file), BASE)))


def _changed(file: Path, subject: str, *, few: bool) -> Iterator[Scan]:
    """few: of a set of like scans, only what tells most."""

    def head() -> Known:
        if _last.cache_info().currsize > 2:
            _last.cache_clear()
        return _last(file)

    makers: dict[str, Callable[[], Volume]] = {
        "ventricles x 4": lambda: atrophied(head(), ventricles=_factor(head(), 4), sulci=1.5),
        "37 ml painted": lambda: painted(head(), 37),
        "1 x 1 x 6 mm": lambda: coarser(head().volume, (1, 1, 6)),
        "1.5 T, 1 x 1 x 5 mm": lambda: coarser(remapped(head(), "T1 at 1.5 T", noise=0.04), (1, 1, 5)),
    }
    more: dict[str, Callable[[], Volume]] = {
        "ventricles x 1.3": lambda: atrophied(head(), ventricles=_factor(head(), 1.3), sulci=1.2),
        "ventricles x 2.5": lambda: atrophied(head(), ventricles=_factor(head(), 2.5), sulci=1.3),
        "2 mm": lambda: coarser(head().volume, (2, 2, 2)),
        "5 x 1 x 1 mm": lambda: coarser(head().volume, (5, 1, 1)),
        "1.5 T": lambda: remapped(head(), "T1 at 1.5 T", noise=0.04),
        "noise 7 %": lambda: noisy(head().volume, 0.07),
        "coils 0.20": lambda: coil_biased(head().volume, 0.2),
    }
    for name, make in (makers if few else makers | more).items():
        yield Scan(f"{file.name}: {name}", subject, "T1", "changed", make)
    for contrast in ("FLAIR",) if few else ("FLAIR", "T2", "PD", "inverted"):
        make = partial(_remapped, head, contrast, (1.0, 1.0, 1.0))
        yield Scan(f"{file.name}: as {contrast}", subject, contrast, "changed", make)
    thick = partial(_remapped, head, "FLAIR", (1.0, 1.0, 5.0))
    yield Scan(f"{file.name}: as FLAIR, 1 x 1 x 5 mm", subject, "FLAIR", "changed", thick)


def _remapped(head: Callable[[], Known], contrast: str, voxel: tuple[float, float, float]) -> Volume:
    return coarser(remapped(head(), contrast, noise=0.03), voxel)


def _factor(head: Known, wanted: float) -> float:
    millilitres = float(head.ventricles.sum() * np.prod(head.volume.zooms)) / 1000
    return max(1.0, min(wanted, LARGEST_VENTRICLES / max(millilitres, 1.0)))


def _drawn(file: Path, number: int) -> Iterator[Scan]:
    subject, turn = file.name.split(".")[0], VOXELS[number % 4 :] + VOXELS[: number % 4]
    recipes = {
        "T1": Recipe(T1, turn[0], lesions=5.0 * (number % 3), seed=number),
        "T1, old": Recipe(
            T1,
            turn[1],
            lesions=15.0 * (1 + number % 3),
            ventricles=(1.3, 2, 3, 4)[number % 4],
            sulci=1.3,
            seed=100,
        ),
        "T1 at 1.5 T": Recipe(
            T1_SOFT, turn[2], lesions=22.0 * (number % 3), ventricles=1.5, noise=0.05, seed=200
        ),
    }
    for name, recipe in recipes.items():
        yield Scan(f"{subject}: {name}", subject, "T1", "drawn", partial(_draw, file, recipe))
    for place, contrast in enumerate(OTHERS):
        if (place + number) % 2 == 0:
            recipe = Recipe(contrast, turn[place % 4], _lesions(contrast, number + place), seed=300 + place)
            yield Scan(
                f"{subject}: {contrast.name}", subject, contrast.name, "drawn", partial(_draw, file, recipe)
            )
    yield Scan(f"{subject}: the map itself", subject, "label map", "drawn", partial(_labels, file, 1))
    yield Scan(f"{subject}: three values", subject, "label map", "drawn", partial(_tissues, file, 1))
    yield Scan(f"{subject}: three values, 3 mm", subject, "label map", "drawn", partial(_tissues, file, 3))


def _lesions(contrast: Contrast, number: int) -> float:
    return 0.0 if contrast.name in ("FA", "CT") else (0.0, 10.0, 25.0, 45.0)[number % 4]


def _draw(file: Path, recipe: Recipe) -> Volume:
    return grounded(conform(drawn(*load_labels(file), recipe)))


def _labels(file: Path, step: int) -> Volume:
    labels, affine = load_labels(file)
    return Volume(
        np.ascontiguousarray(labels[::step, ::step, ::step]), affine @ np.diag([step, step, step, 1.0])
    )


def _tissues(file: Path, step: int) -> Volume:
    whole = _labels(file, step)
    table = np.zeros(600, np.int16)
    for value, names in enumerate((("fluid",), ("grey", "striatum", "thalamus", "pallidum"), ("white",)), 1):
        table[[number for name in names for number in TISSUES[name]]] = value
    return Volume(table[np.asarray(whole.voxels, np.int64)], whole.affine)


def _part(file: Path, change: Callable[[Volume], Volume]) -> Volume:
    part = change(coarser(_read(file), BASE))
    return Volume(np.ascontiguousarray(part.voxels), part.affine)
