"""Training and the file it ships: losses, interruption, and that the service runs what was trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from imaging.hemisphere import SHAPE, Structure
from model_store.anatomy.export import folded, write_weights
from model_store.anatomy.generator import Generator
from model_store.anatomy.losses import loss_of
from model_store.anatomy.network import AnatomyNet, from_grey
from model_store.anatomy.train import CHECKPOINT, State, learn, rate_at, settle
from preprocessing_service.anatomy.network import AnatomyNetwork, read_weights
from tests.unit.model_store.anatomies import balls

SMALL = (24, 24, 24)


def _shares(hippocampus: int) -> torch.Tensor:
    shares = torch.zeros(1, 5, *SMALL)
    shares[0, Structure.HIPPOCAMPUS, :hippocampus] = 1
    shares[0, 0, hippocampus:] = 1
    return shares


def test_the_right_answer_costs_nothing_and_a_small_one_shows_in_its_volume() -> None:
    right, small = _shares(10), _shares(5)
    good, bad = (loss_of((shares * 2 - 1) * 20, right, 1.0) for shares in (right, small))
    assert float(good.total) == pytest.approx(0, abs=1e-3)
    assert float(good.dice[Structure.HIPPOCAMPUS]) == pytest.approx(1, abs=1e-3)
    assert float(bad.total) > 1
    assert float(bad.volume[Structure.HIPPOCAMPUS]) == pytest.approx(np.log(2), abs=0.02)


def test_two_visits_that_err_alike_cost_less_than_two_that_err_apart() -> None:
    target = torch.cat([_shares(10), _shares(10)])
    alike = loss_of((torch.cat([_shares(9), _shares(9)]) * 2 - 1) * 20, target, 1.0)
    apart = loss_of((torch.cat([_shares(8), _shares(10)]) * 2 - 1) * 20, target, 1.0)
    assert float(apart.total) > float(alike.total)


def test_an_interrupted_training_goes_on_where_it_was(tmp_path: Path) -> None:
    batch = Generator([balls()], seed=1).batch(1)
    state = State.begin(0)
    learn(state, batch, 0.1)
    state.save(tmp_path / CHECKPOINT)
    again = State.begin(5)
    again.restore(tmp_path / CHECKPOINT)
    assert again.step == 1
    for name, value in state.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])
    assert torch.equal(state.averaged["last.bias"], again.averaged["last.bias"])


def test_the_rate_rises_shortly_and_ends_near_nothing() -> None:
    assert rate_at(0, 0.0) < rate_at(100, 0.01)
    assert rate_at(10_000, 1.0) < 1e-4


def test_the_service_runs_what_was_trained(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = AnatomyNet()
    settle(model, [balls()])
    model.eval()
    path = tmp_path / "weights.npz"
    digest = write_weights(folded(model), path)
    assert write_weights(folded(model), tmp_path / "again.npz") == digest
    assert path.stat().st_size < 3e6
    grey = Generator([balls()], seed=2).batch(0).pictures[0].astype(np.uint8)
    found = AnatomyNetwork(read_weights(path), torch.float32).probability(grey)
    with torch.inference_mode():
        wanted = torch.softmax(model(from_grey(torch.from_numpy(grey))[None, None])[0], 0).numpy()
    assert found.shape == (5, *SHAPE)
    assert np.allclose(found.sum(0), 1, atol=1e-5)
    assert np.abs(found - wanted).max() < 0.01
