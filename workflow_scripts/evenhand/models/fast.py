"""What is there for speed or memory alone: each gives what the plain version named beside it gives, up to rounding.

The network, the loss and the training loop call these by what they do; tests hold each against its plain version.
"""

import functools
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.optim.adam import adam

# Row k: which of the three weights along one side meet, in position k of four, the same input pixel.
SPREAD = ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 0.0, 0.0))
# Fewer pixels in a batch are not worth the summing of weights, on a processor; a GPU merged all of them and won.
MERGED_PIXELS = 2048
# Of 4, 8 and 16 images on a CPU: 4 and 8 took 0.4 and 0.3 GB less memory than 16, and 8 less time (128 px, bf16).
IMAGES_AT_A_TIME = 8


def merging_pays(x: Tensor) -> bool:
    """Whether a convolution of `x` (B, C, s, s), upsampled, is faster by `merged_kernel`: with enough pixels."""
    return x.numel() >= MERGED_PIXELS * x.shape[1]


def merged_kernel(weight: Tensor) -> Tensor:
    """The 4x4 kernel of a transposed convolution (stride 2, padding 1) that upsamples and convolves with `weight`.

    Plainly a 3x3 convolution with `weight` (O, C, 3, 3), padding 1, of maps upsampled by nearest neighbours to twice
    their side; this takes 4/9 of the multiplications. Each output pixel sees only 2 x 2 different input pixels, so
    weights that meet the same one are summed first (Shi et al. 2016, arXiv:1609.07009): the 3x3 kernel spread over the
    2x2 copies of a pixel. (C, O, 4, 4).
    """
    out, into = weight.shape[:2]
    kernel = torch.matmul(_spread(weight.dtype, weight.device), weight.permute(0, 2, 3, 1).reshape(out, 9, into))
    return kernel.view(out, 4, 4, into).permute(3, 0, 1, 2)


@functools.cache
def _spread(dtype: torch.dtype, device: torch.device) -> Tensor:
    """(16, 9): which of the 3x3 weights are summed in each place of the 4x4 kernel."""
    along = torch.tensor(SPREAD, dtype=dtype, device=device)
    return torch.kron(along, along)


def split_channels(x: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """`x.split(sizes, dim=1)` of (B, C, s, s) in two, the first without gaps in memory if `x` is channels last.

    A slice has gaps between its pixels, which the norm that follows would read, keep and copy.
    """
    first, second = x.split(list(sizes), dim=1)
    if x.is_contiguous(memory_format=torch.channels_last):
        first = first.contiguous(memory_format=torch.channels_last)
    return first, second


def mean_square(found: Tensor, wanted: Tensor) -> Tensor:
    """`F.mse_loss(found.float(), wanted.float())` of two feature maps at any precision; no gradient for `wanted`."""
    return _MeanSquare.apply(found, wanted)  # type: ignore[no-untyped-call]


class _MeanSquare(torch.autograd.Function):
    """Keeps the difference alone, at the precision of the maps.

    Autocast would copy both maps and the gradient to fp32, which for a bf16 network costs more time than anything else
    but the convolutions.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, found: Tensor, wanted: Tensor) -> Tensor:
        difference = found - wanted
        ctx.save_for_backward(difference)
        return torch.linalg.vector_norm(difference, dtype=torch.float32).square() / difference.numel()

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        (difference,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return difference * (2 / difference.numel() * gradient), None


def mean_over_images(loss: Callable[[Tensor, Tensor], Tensor], found: Tensor, wanted: Tensor) -> Tensor:
    """`loss(found, wanted)`, a mean over images, in the memory of a few of them; no gradient for `wanted`."""
    return _EarlyGradient.apply(loss, found, wanted)  # type: ignore[no-untyped-call]


class _EarlyGradient(torch.autograd.Function):
    """The gradient for the first argument is taken at once, a few images at a time.

    What the network inside `loss` keeps for its backward pass is then freed before the next images and before the
    backward pass of the VAE: otherwise the two networks' feature maps of the whole batch are held together.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, loss: Callable[[Tensor, Tensor], Tensor], found: Tensor, wanted: Tensor) -> Tensor:
        total, gradients = found.new_zeros(()), []
        # A GPU has the memory, and is faster on many images.
        chunk = IMAGES_AT_A_TIME if found.device.type == "cpu" else len(found)
        for part, target in zip(found.split(chunk), wanted.split(chunk), strict=True):
            with torch.enable_grad():
                images = part.detach().requires_grad_()
                share = loss(images, target) * (len(part) / len(found))
            gradients.extend(torch.autograd.grad(share, images))
            total += share.detach()
        ctx.save_for_backward(torch.cat(gradients))
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[None, Tensor, None]:
        (of_mean,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return None, of_mean * gradient, None


class Adam:
    """`torch.optim.Adam(parameters, learning_rate, fused=True)`: state and step, without all that it can do besides.

    Adam (Kingma and Ba 2015) with default betas, no schedule and no weight decay, through PyTorch's fused kernel, which
    takes all parameters in one call and reads gradients once. It calls PyTorch's functional form of the same optimiser:
    the class imports PyTorch's compiler at its first step, which takes as long as importing PyTorch itself, in a job
    that may last a few seconds.
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
        """Update every parameter that has a gradient."""
        given = [place for place, parameter in enumerate(self.parameters) if parameter.grad is not None]
        parameters, first, second, steps = (
            [tensors[place] for place in given]
            for tensors in (self.parameters, self.first_moments, self.second_moments, self.steps)
        )
        adam(
            parameters,
            [parameter.grad for parameter in parameters],  # type: ignore[misc]
            first,
            second,
            [],
            steps,
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
