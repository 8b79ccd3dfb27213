"""A step as one CUDA graph: its kernels, some 1,200, are started at once instead of one by one.

Not measured on a GPU yet, and off: `benchmarks/gpu_check.py` measures it, tests/test_cuda.py holds it to plain steps.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[[Tensor, Tensor], Tensor]

GRAPHS = False
PLAIN_STEPS = 3  # before the recording: they choose algorithms and compile kernels


class Steps:
    """`step` of a target and its noise, recorded and replayed where that is possible; the same numbers either way."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.taken = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.target, self.noise, self.terms = torch.empty(0), torch.empty(0), torch.empty(0)

    def __call__(self, target: Tensor, noise: Tensor) -> Tensor:
        if not GRAPHS or target.device.type != "cuda":
            return self.step(target, noise)
        self.taken += 1
        if self.taken <= PLAIN_STEPS or (self.graph and target.shape != self.target.shape):  # the last of an epoch
            return self.step(target, noise)
        if self.graph is None:
            self.target, self.noise = target.clone(), noise.clone()
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.terms = self.step(self.target, self.noise)
        self.target.copy_(target)
        self.noise.copy_(noise)
        self.graph.replay()
        return self.terms.clone()
