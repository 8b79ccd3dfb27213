"""Adam (Kingma and Ba 2015) through PyTorch's fused kernel: all parameters in one call, gradients read once."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """The state and step of `torch.optim.Adam` with default betas, no schedule and no weight decay.

    It calls PyTorch's functional form of the same optimiser. The class imports PyTorch's compiler at its first step,
    which takes as long as importing PyTorch itself, in a job that may last a few seconds.
    """

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float) -> None:
        self.parameters = list(parameters)
        self.learning_rate = learning_rate
        # The fused kernel walks through memory: moments need the strides of their parameter, as zeros_like gives them.
        self.first_moments = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.second_moments = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.steps = [torch.zeros((), device=parameter.device) for parameter in self.parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter by its gradient, which each must have."""
        adam(
            self.parameters,
            [parameter.grad for parameter in self.parameters],  # type: ignore[misc]
            self.first_moments,
            self.second_moments,
            [],
            self.steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.learning_rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )

    def state(self) -> dict[str, Tensor]:
        """The tensors that a checkpoint must hold besides the parameters, by name; writing into them restores it."""
        lists = {"step": self.steps, "first": self.first_moments, "second": self.second_moments}
        return {f"{index}.{name}": tensor for name, part in lists.items() for index, tensor in enumerate(part)}
