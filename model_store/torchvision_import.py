"""Make torchvision importable beside a CPU build of torch.

The torchvision wheel on PyPI is linked for CUDA. Beside a CPU torch its extension does not load, the
operators `torchvision::nms` and `torchvision::qnms` stay undefined, and registering their fake kernels
fails the import. Declaring the two schemas first is enough: nothing here ever calls them. Where the
extension loads (or torchvision is imported already) this does nothing.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from pathlib import Path

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[torch.library.Library] = []  # a library's operators vanish when it is collected


def prepare() -> None:
    """Declare the operators if torchvision's own extension cannot; call before `import torchvision`."""
    if _declared or "torchvision" in sys.modules or _extension_loads():
        return
    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    _declared.append(library)


def _extension_loads() -> bool:
    spec = PathFinder.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    extension = next(Path(spec.origin).parent.glob("_C*.so"), None)
    if extension is None:
        return False
    try:
        torch.ops.load_library(str(extension))
    except OSError:
        return False
    return True
