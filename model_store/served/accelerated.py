"""The shipped int8 network on a GPU: the same layers in half precision, rebuilt from its own int8 weights.

Int8 convolutions run on CPUs only. The TorchScript graph of the archive holds every layer with its weights,
so nothing else has to be shipped: this walks the graph once and keeps, for each node, what does the same in
floats. Like the rest of this folder it imports nothing of ours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional

Step = Callable[[list[Any]], Any]
_SIZES = (32, 64, 128, 256)
"""Slices a launch; a batch is padded to the next size, so that each size needs one CUDA graph."""


def device_wanted(gpu_id: int | None = None) -> torch.device:
    """HIPPOCAMP_MODEL_DEVICE: `cpu`, `cuda`, or `auto`, a GPU if there is one (gpu_id: which)."""
    wanted = os.environ.get("HIPPOCAMP_MODEL_DEVICE", "auto")
    if wanted not in {"auto", "cpu", "cuda"}:
        raise RuntimeError(f"HIPPOCAMP_MODEL_DEVICE={wanted!r} is none of auto, cpu, cuda")
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    return torch.device("cuda", gpu_id or 0)


def best_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes in it, else float16."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return torch.float16
    return torch.bfloat16


class FloatNetwork:
    """The graph of a frozen int8 network, node by node, in `dtype` between its quantize and dequantize.

    Before and after, as in the archive, it computes in float32.
    """

    def __init__(self, script: torch.jit.ScriptModule, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        graph = script.graph
        names = [value.debugName() for value in list(graph.inputs())[1:]]
        self._where = {name: place for place, name in enumerate(names)}
        self._inputs = len(names)
        self._constants: dict[int, Any] = {}
        self._steps: list[tuple[Step, list[int], int]] = []
        for node in graph.nodes():
            self._add(node)
        (result,) = graph.outputs()
        self._result = self._where[result.debugName()]

    def __call__(self, slices: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What the int8 network returns for uint8 slices (n, height, width), on the device of the slices."""
        values: list[Any] = [None] * len(self._where)
        values[0] = slices
        for place, constant in self._constants.items():
            values[place] = constant
        for step, sources, place in self._steps:
            values[place] = step([values[source] for source in sources])
        return tuple(values[self._result])

    def _add(self, node: Any) -> None:
        sources = [self._where[value.debugName()] for value in node.inputs()]
        (output,) = node.outputs()
        place = self._where[output.debugName()] = len(self._where)
        if node.kind() == "prim::Constant":
            self._constants[place] = self._here(output.toIValue())
        else:
            self._steps.append((self._step(node, sources), sources, place))

    def _here(self, constant: Any) -> Any:
        if isinstance(constant, torch.Tensor):
            return constant.to(self.device)
        return self.device if isinstance(constant, torch.device) else constant

    def _step(self, node: Any, sources: Sequence[int]) -> Step:
        kind = node.kind()
        if kind in {"quantized::conv2d", "quantized::conv2d_relu"}:
            return self._convolution(self._constants[sources[1]], relu=kind.endswith("relu"))
        plain = {
            "aten::quantize_per_tensor": lambda v: v[0].to(self.dtype),
            "aten::dequantize": lambda v: v[0].float(),
            "quantized::add": lambda v: v[0] + v[1],
            "quantized::add_relu": lambda v: torch.relu_(v[0] + v[1]),
            "prim::ListConstruct": list,
            "prim::TupleConstruct": tuple,
        }.get(kind)
        if plain:
            return plain
        if not kind.startswith("aten::"):
            raise RuntimeError(f"The network has a layer that has no float twin here: {kind}")
        return _same(node.schema())

    def _convolution(self, packed: Any, *, relu: bool) -> Step:
        weight, bias = packed.unpack()
        weight = weight.dequantize().to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)
        bias = None if bias is None else bias.detach().to(self.device, self.dtype)
        how = {
            "stride": packed.stride(), "padding": packed.padding(), "dilation": packed.dilation(),
            "groups": packed.groups(),
        }  # fmt: skip

        def run(values: list[Any]) -> torch.Tensor:
            found = functional.conv2d(values[0], weight, bias, **how)
            return torch.relu_(found) if relu else found

        return run


def _same(schema: str) -> Step:
    """The operator as it stands; its keyword-only arguments are the last ones."""
    parsed = torch.parse_schema(schema)
    packet = getattr(torch.ops.aten, parsed.name.removeprefix("aten::"))
    operator = getattr(packet, parsed.overload_name or "default")
    keywords = [argument.name for argument in parsed.arguments if argument.kwarg_only]
    first = len(parsed.arguments) - len(keywords)
    return lambda v: operator(*v[:first], **dict(zip(keywords, v[first:], strict=True)))


def has_vnni() -> bool:
    """Whether this CPU multiplies 8-bit numbers without saturating their sums."""
    return bool(torch.cpu.get_capabilities().get("avx512_vnni", False))


def accelerated(script: torch.jit.ScriptModule, gpu_id: int | None) -> Accelerated | None:
    """The network on the device that is wanted; None when that is a CPU with VNNI, where int8 is faster.

    On a CPU without VNNI sums of 8-bit products saturate, and answers are wrong: it computes in float32.
    """
    device = device_wanted(gpu_id)
    if device.type != "cpu":
        return Accelerated(script, device)
    return None if has_vnni() else Accelerated(script, device, torch.float32)


class Accelerated:
    """Called with uint8 slices of the host, gives the network's outputs as float32 of the host.

    On CUDA: pinned buffers both ways, one CUDA graph a size. Elsewhere the same network without these.
    """

    def __init__(
        self, script: torch.jit.ScriptModule, device: torch.device, dtype: torch.dtype | None = None
    ) -> None:
        self.dtype = dtype or best_dtype(device)
        self.engine = f"{device.type}-{str(self.dtype).removeprefix('torch.')}"
        self.sizes = _SIZES
        self._device = device
        self._network = FloatNetwork(script, device, self.dtype)
        self._launches: dict[int, _Launch] = {}

    def __call__(self, slices: torch.Tensor) -> list[torch.Tensor]:
        """uint8 (n, height, width) -> outputs, each (n, ...) float32."""
        with torch.inference_mode():
            pieces = [self._piece(part) for part in slices.split(self.sizes[-1])]
        return [torch.cat(part) for part in zip(*pieces, strict=True)]

    def _piece(self, slices: torch.Tensor) -> list[torch.Tensor]:
        count = len(slices)
        if self._device.type != "cuda":
            return [out.float() for out in self._network(slices.to(self._device))]
        size = next(size for size in self.sizes if size >= count)
        if size not in self._launches:
            self._launches[size] = _Launch(self._network, (size, *slices.shape[1:]))
        return self._launches[size].run(slices)


class _Launch:
    """All kernels of one batch size, recorded once, with the buffers that they read and write."""

    def __init__(self, network: FloatNetwork, shape: tuple[int, ...]) -> None:
        self._staged = torch.zeros(shape, dtype=torch.uint8, pin_memory=True)
        self._input = torch.zeros(shape, dtype=torch.uint8, device=network.device)
        aside = torch.cuda.Stream(network.device)
        aside.wait_stream(torch.cuda.current_stream(network.device))
        with torch.cuda.stream(aside):
            for _ in range(3):  # libraries choose their kernels before the recording
                network(self._input)
        torch.cuda.current_stream(network.device).wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs = [output.float() for output in network(self._input)]
        self._answers = [
            torch.empty(output.shape, dtype=torch.float32, pin_memory=True) for output in self._outputs
        ]

    def run(self, slices: torch.Tensor) -> list[torch.Tensor]:
        """Outputs of the first len(slices); what pads the batch is thrown away."""
        self._staged[: len(slices)].copy_(slices)
        self._input.copy_(self._staged, non_blocking=True)
        self._graph.replay()
        for answer, output in zip(self._answers, self._outputs, strict=True):
            answer.copy_(output, non_blocking=True)
        torch.cuda.synchronize()
        return [answer[: len(slices)].clone() for answer in self._answers]
