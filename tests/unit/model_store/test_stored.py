"""Stacks that a request names: only those, only from their folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from model_store.served.bodies import BadBodyError, read_body
from model_store.served.stored import FOLDER

NAME = f"stacks/site-a/{'c' * 64}-7/{'p' * 64}.npz"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER, str(tmp_path / "blobs"))
    return tmp_path / "blobs"


def put(path: Path, slices: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, slices=slices, about=np.zeros(3, np.uint8))


def named(*names: object) -> bytes:
    return json.dumps({"stacks": names}).encode()


def test_named_stacks_are_read_in_order(folder: Path) -> None:
    other = NAME.replace("site-a", "b")
    for level, name in ((3, NAME), (4, other)):
        put(folder / name, np.full((32, 208, 176), level, np.uint8))
    slices, covariates = read_body(named(other, NAME))
    assert (slices.shape, slices[:, 0, 0, 0].tolist()) == ((2, 32, 208, 176), [4, 3])
    assert np.isnan(covariates).all()


def test_what_is_known_of_the_persons_travels_with_the_names(folder: Path) -> None:
    put(folder / NAME, np.zeros((32, 208, 176), np.uint8))
    told = {"stacks": [NAME, NAME], "covariates": [[27, 71.5, None, None], [None] * 4]}
    _, covariates = read_body(json.dumps(told).encode())
    assert covariates[0, :2].tolist() == [27, 71.5]
    assert np.isnan(covariates[0, 2:]).all()
    assert np.isnan(covariates[1]).all()
    for wrong in ([[27]], [["x"] * 4] * 2, {"a": 1}, [[1, 2, 3, 4]]):
        with pytest.raises(BadBodyError):
            read_body(json.dumps(told | {"covariates": wrong}).encode())


@pytest.mark.parametrize(
    "name",
    [
        "../secret.npz", "stacks/../../secret.npz", "stacks/a/../../../secret.npz", "/secret.npz",
        "inputs/a/job_1.npz", "stacks/a/secret.npz", f"{NAME}\n", f"./{NAME}", "stacks/.a/b/c.npz", 7, None,
    ],
)  # fmt: skip
def test_no_other_name_is_looked_at(folder: Path, name: object) -> None:
    put(folder.parent / "secret.npz", np.zeros((32, 208, 176), np.uint8))
    put(folder / "stacks" / "a" / "secret.npz", np.zeros((32, 208, 176), np.uint8))
    with pytest.raises(BadBodyError, match="is no name of a stack"):
        read_body(named(name))


def test_what_is_gone_damaged_or_misshapen_is_refused(folder: Path) -> None:
    with pytest.raises(BadBodyError, match="FileNotFoundError"):
        read_body(named(NAME))
    put(folder / NAME, np.zeros((32, 208, 176), np.uint8))
    whole = bytearray((folder / NAME).read_bytes())
    whole[5000] ^= 1
    (folder / NAME).write_bytes(whole)
    with pytest.raises(BadBodyError, match="CRC"):
        read_body(named(NAME))
    put(folder / NAME, np.zeros((31, 208, 176), np.uint8))
    with pytest.raises(BadBodyError, match="must be"):
        read_body(named(NAME))


@pytest.mark.parametrize("body", [b"{", b'{"stacks": []}', b'{"stacks": "x"}', b"[]", b'{"other": 1}'])
def test_bodies_that_name_nothing(folder: Path, body: bytes) -> None:
    with pytest.raises(BadBodyError):
        read_body(body)


@pytest.mark.parametrize("place", ["", "s3://bucket/x"])
def test_a_server_without_the_folder_reads_nothing(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setenv(FOLDER, place)
    with pytest.raises(BadBodyError, match="no folder"):
        read_body(named(NAME))
