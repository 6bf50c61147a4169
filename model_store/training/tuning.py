"""Fine-tuning of the whole network: layered learning rates, class weights, early stopping, resumable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model_store.evaluation.metrics import auc
from model_store.served.pooling import softmax
from model_store.served.shapes import SLICES
from model_store.training.augmentation import augment
from model_store.training.backbone import FEATURES, Convention
from model_store.training.volumes import Heads

LAYERS = ("layer1", "layer2", "layer3", "layer4")


class Judged(TypedDict):
    """Figures of the validation subjects; the area is None when they are all on one side."""

    validation_loss: float
    validation_auc: float | None


class Epoch(Judged):
    """One line of a run's history."""

    epoch: int
    loss: float


@dataclass(frozen=True)
class Plan:
    """All that decides a run beside its data.

    rate: of the head; layer4 learns a tenth of it, each earlier layer `decay` times what the next one does.
    train_from: earlier layers stay as they are. slices: how many of a head's 32 are looked at in a step.
    stretch: pictures are reduced by this factor (2: a quarter of the pixels).
    """

    seed: int = 0
    epochs: int = 30
    patience: int = 6
    subjects: int = 4
    slices: int = 8
    stretch: int = 1
    rate: float = 1e-3
    decay: float = 0.3
    weight_decay: float = 0.02
    train_from: str = "layer1"
    pooling: str = "mean"
    precision: str = "auto"
    validation: float = 0.2

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class VolumeNetwork(nn.Module):
    """(v, s, h, w) float 0-255 -> logits (v, 3). Slices are pooled by their mean, or by learnt attention.

    attention: gated (Ilse et al. 2018), with the slice's place in the slab among its inputs.
    """

    def __init__(self, backbone: nn.Module, convention: Convention, pooling: str) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(FEATURES, 3)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.attention: nn.Module | None = None
        if pooling == "attention":
            self.attention = nn.Sequential(nn.Linear(FEATURES + 1, 64), nn.Tanh(), nn.Linear(64, 1))
        self.register_buffer("mean", torch.tensor(convention.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(convention.std).view(1, 3, 1, 1))
        self.mean: Tensor
        self.std: Tensor

    def forward(self, heads: Tensor, places: Tensor) -> Tensor:
        volumes, slices = heads.shape[:2]
        pictures = (heads.flatten(0, 1).unsqueeze(1).expand(-1, 3, -1, -1) - self.mean) / self.std
        features = self.trunk(pictures.contiguous(memory_format=torch.channels_last))
        features = features.view(volumes, slices, -1)
        if self.attention is None:
            return self.logits(features.mean(dim=1))
        place = (places.to(features.dtype) / SLICES).view(1, slices, 1).expand(volumes, -1, -1)
        weights = torch.softmax(self.attention(torch.cat([features, place], dim=2)), dim=1)
        return self.logits((weights * features).sum(dim=1))

    def trunk(self, pictures: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, 2048)."""
        found: Tensor = self.backbone(pictures)
        return found

    def logits(self, pooled: Tensor) -> Tensor:
        """(v, 2048) -> (v, 3)."""
        found: Tensor = self.head(pooled)
        return found


@dataclass
class Tuning:
    """A run in progress: everything that a checkpoint has to bring back."""

    network: VolumeNetwork
    plan: Plan
    device: torch.device
    epoch: int = 0
    history: list[Epoch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.network.to(self.device)
        self.optimizer = torch.optim.AdamW(
            layered(self.network, self.plan), weight_decay=self.plan.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, max(1, self.plan.epochs))
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self._precision() is torch.float16)
        self.chooser = torch.Generator().manual_seed(self.plan.seed)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        parts = {
            name: getattr(self, name).state_dict() for name in ("network", "optimizer", "schedule", "scaler")
        }
        return {**parts, "epoch": self.epoch, "history": self.history, "chooser": self.chooser.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        for name in ("network", "optimizer", "schedule", "scaler"):
            getattr(self, name).load_state_dict(state[name])
        self.epoch, self.history = state["epoch"], list(state["history"])
        self.chooser.set_state(state["chooser"])

    def train_epoch(self, heads: Heads, rows: npt.NDArray[np.int64], prior: Tensor) -> Iterator[float]:
        """One pass over the training subjects; yields the loss of each step. prior: (3,) class weights."""
        self.network.train()
        freeze_norms(self.network)
        order = torch.randperm(len(rows), generator=self.chooser)
        for chosen in order.split(self.plan.subjects):
            places = torch.randperm(SLICES, generator=self.chooser)[: self.plan.slices].sort().values
            batch = self._batch(heads, rows[chosen.numpy()], places)
            target = torch.from_numpy(heads.stages[rows[chosen.numpy()]]).to(self.device)
            with self._mixed():
                logits = self.network(augment(batch, self.chooser), places.to(self.device))
                loss = nn.functional.cross_entropy(
                    logits.float(), target, weight=prior.to(self.device), label_smoothing=0.05
                )
            self.optimizer.zero_grad(set_to_none=True)
            self.scaler.scale(loss).backward()
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            yield float(loss.detach())
        self.schedule.step()
        self.epoch += 1

    def predict(self, heads: Heads, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """(n, 3) logits over evenly spaced slices, averaged with those of the mirrored head."""
        self.network.eval()
        places = torch.linspace(0, SLICES - 1, max(self.plan.slices, 8)).round().long()
        found = []
        with torch.inference_mode(), self._mixed():
            for row in rows:
                batch = self._batch(heads, np.array([row]), places)
                pair = torch.cat([batch, batch.flip(-1)])
                found.append(self.network(pair, places.to(self.device)).float().mean(0).cpu().numpy())
        return np.asarray(found, dtype=np.float64)

    def _batch(self, heads: Heads, rows: npt.NDArray[np.int64], places: Tensor) -> Tensor:
        chosen = torch.from_numpy(heads.stacks[rows][:, places.numpy()]).to(self.device).float()
        return nn.functional.avg_pool2d(chosen, self.plan.stretch) if self.plan.stretch > 1 else chosen

    def _precision(self) -> torch.dtype:
        if self.plan.precision != "auto":
            return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[
                self.plan.precision
            ]
        if self.device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        return torch.bfloat16 if torch.cpu.get_capabilities().get("avx512_bf16", False) else torch.float32

    def _mixed(self) -> AbstractContextManager[None]:
        precision = self._precision()
        return torch.autocast(self.device.type, precision, enabled=precision is not torch.float32)


def layered(network: VolumeNetwork, plan: Plan) -> list[dict[str, Any]]:
    """Parameter groups: the head at full rate, every earlier layer slower; what is not trained is frozen."""
    groups: list[dict[str, Any]] = [{"params": list(network.head.parameters()), "lr": plan.rate}]
    if network.attention is not None:
        groups.append({"params": list(network.attention.parameters()), "lr": plan.rate})
    parts = [("conv1", "bn1"), *((name,) for name in LAYERS)]
    first = len(parts) if plan.train_from == "head" else 1 + LAYERS.index(plan.train_from)
    first = 0 if plan.train_from == "layer1" else first
    for depth, names in enumerate(reversed(parts)):
        here = [p for name in names for p in network.backbone.get_submodule(name).parameters()]
        if len(parts) - 1 - depth < first:
            for parameter in here:
                parameter.requires_grad_(False)
        else:
            groups.append({"params": here, "lr": plan.rate * 0.1 * plan.decay**depth})
    return groups


def freeze_norms(network: nn.Module) -> None:
    """Batches of a few subjects are too small for statistics of their own."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def class_weights(stages: npt.NDArray[np.int64]) -> Tensor:
    """(3,) inverse square root of the frequencies, mean 1: rare stages count more, but not all the way."""
    counts = np.maximum(np.bincount(stages, minlength=3), 1)
    weights = 1 / np.sqrt(counts)
    return torch.from_numpy(weights / weights.mean()).float()


def judge(logits: npt.NDArray[np.float64], stages: npt.NDArray[np.int64]) -> Judged:
    """Log loss and AUC (CDR > 0 against 0; None with one side only) of validation subjects."""
    p = softmax(logits).astype(np.float64)
    loss = -np.log(np.maximum(p[np.arange(len(stages)), stages], 1e-9)).mean()
    area = auc(p, stages)
    return {"validation_loss": float(loss), "validation_auc": None if np.isnan(area) else area}
