"""The one place that imports torchvision, also where its compiled operators cannot be loaded.

torchvision is published as a CUDA build; beside a CPU build of torch its library does not load, and the import
ends with "operator torchvision::nms does not exist". Models and transforms need none of those operators, so it
is enough to declare the two that torchvision refers to by name while it is imported.
"""

import importlib.util
from pathlib import Path

import torch


def _declare_missing_operators() -> torch.library.Library | None:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return None  # not installed: the import below says so
    try:
        torch.ops.load_library(str(Path(spec.submodule_search_locations[0]) / "_C.so"))
    except OSError:
        declared = torch.library.Library("torchvision", "DEF")
        declared.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        declared.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return declared
    return None


_DECLARED = _declare_missing_operators()  # the declarations live as long as this object

from torchvision.models import vgg  # noqa: E402

__all__ = ["vgg"]
