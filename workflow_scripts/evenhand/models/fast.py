"""What is there for speed or memory alone: each gives what the plain version named beside it gives, up to rounding.

The network, the loss and the training loop call these by what they do; tests hold each against its plain version.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F
from torch.optim.adam import adam

from evenhand.models import winograd
from evenhand.models.group_norm import group_norm

# Row k: which of the three weights along one side meet, in position k of four, the same input pixel.
SPREAD = ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 0.0, 0.0))
# Fewer pixels in a batch are not worth the summing of weights, on a processor; a GPU merged all of them and won.
MERGED_PIXELS = 2048
# Of 4, 8 and 16 images of 128 px on a CPU: 4 and 8 took 0.4 and 0.3 GB less memory than 16, and 8 less time (bf16). Of
# smaller ones as many as take that memory: 16 of 32 px at once instead of in halves made a step a third shorter.
PIXELS_AT_A_TIME = 8 * 128**2
# Maps of 512 channels, 16 images, bf16, forward and backward: a product took 8 ms at 4 x 4 pixels and 3.5 ms at 2 x 2,
# where oneDNN took 17 and 14; of 256 channels at 8 x 8 it took longer.
FEW_PIXELS = 16
# On CUDA, each measured by `benchmarks/gpu_check.py`: one graph for a step, which tests/test_cuda.py holds to the plain
# steps, and channels padded to a multiple of what tensor cores read. (cuDNN's batch norms are not to be had: in bf16
# PyTorch asks them for weights in bf16 as well.)
GRAPHS = True
PLAIN_STEPS = 3  # before the recording: they choose algorithms
CHANNELS = 8


def norm_elu_convolution(
    x: Tensor, bias: Tensor, norm: nn.Module, weight: Tensor, stride: int = 1, upsample: bool = False
) -> Tensor:
    """`plain_norm_elu_convolution` of the same arguments.

    A batch norm of a training takes any constant of a channel away again, so the bias of the convolution before it, and
    all that was added to a sum of such convolutions, need not be added to the feature maps at all: `x` travels without
    its `bias`, one number a channel, which then gets no gradient, where the plain version gives it one of rounding
    errors. And norm, ELU and convolution are one step of the backward pass, for which a processor keeps `x` alone and a
    GPU, which has the memory, the input of the convolution besides.
    """
    merged = upsample and merging_pays(x)
    if isinstance(norm, nn.GroupNorm):
        h = F.elu(group_norm(x + bias.to(x.dtype)[:, None, None], norm), inplace=True)
        return _convolution(h, weight, stride, upsample, merged)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    shift = bias.detach()
    mean = norm.running_mean - shift  # of x without its bias
    momentum = norm.momentum or 0.0
    if norm.training and (merged or not upsample):
        weight, stride = (merged_kernel(weight), 2) if merged else (weight, stride)
        out = _NormEluConvolution.apply(  # type: ignore[no-untyped-call]
            x, norm.weight, norm.bias, mean, norm.running_var, momentum, norm.eps, weight.to(x.dtype), stride, merged
        )
    else:
        h = F.batch_norm(x, mean, norm.running_var, norm.weight, norm.bias, norm.training, momentum, norm.eps)
        out = _convolution(F.elu(h, inplace=True), weight, stride, upsample, merged)
    if norm.training:
        with torch.no_grad():
            norm.running_mean.copy_(mean + shift)
            norm.num_batches_tracked += 1
    return out


def plain_norm_elu_convolution(
    x: Tensor, bias: Tensor, norm: nn.Module, weight: Tensor, stride: int = 1, upsample: bool = False
) -> Tensor:
    """The 3x3 convolution with `weight`, padding 1 and `stride`, of elu(norm(x + bias)).

    Args:
        x: (B, C, s, s).
        bias: (C,).
        upsample: to twice the side by nearest neighbours, before the convolution.
    """
    h = F.elu(norm(x + bias.to(x.dtype)[:, None, None]))
    return _convolution(h, weight, stride, upsample, merged=False)


def few_channels_convolution(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.conv2d(x, weight, bias, padding=1)` of images (B, 3, s, s), with channels of zeros besides on CUDA."""
    if x.device.type == "cuda":
        padding = (0, 0, 0, 0, 0, -x.shape[1] % CHANNELS)
        x, weight = F.pad(x.to(weight.dtype), padding), F.pad(weight, padding)
    return F.conv2d(x, weight, bias, padding=1)


def few_pixels_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`F.conv2d(x, weight, bias, padding=1)` of maps (B, C, s, s), by one product of matrices if small, on a processor.

    Of small maps oneDNN takes longer to sort the weights, anew at each call, than to multiply with them.
    """
    n, _, height, width = x.shape
    if x.device.type != "cpu" or height * width > FEW_PIXELS:
        return F.conv2d(x, weight, bias, padding=1)
    if height == width == 1:  # around it is nothing but padding
        return torch.addmm(bias, x.flatten(1), weight[:, :, 1, 1].T)[:, :, None, None]
    around = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    shifted = [around[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    patches = torch.cat(shifted, dim=3).flatten(0, 2)
    found = torch.addmm(bias, patches, weight.permute(0, 2, 3, 1).flatten(1).T)  # a view where channels are last
    return found.view(n, height, width, -1).permute(0, 3, 1, 2)


def _convolution(h: Tensor, weight: Tensor, stride: int, upsample: bool, merged: bool) -> Tensor:
    if stride == 1 and winograd.pays(h, weight, upsample):
        return winograd.convolution(h, weight, upsample)
    if merged:
        return F.conv_transpose2d(h, merged_kernel(weight), None, stride=2, padding=1)
    if upsample:
        h = F.interpolate(h, scale_factor=2.0, mode="nearest")
    return F.conv2d(h, weight, None, stride, padding=1)


class _NormEluConvolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 (what is kept has no types)
        x: Tensor, gamma: Tensor, beta: Tensor, running_mean: Tensor, running_var: Tensor, momentum: float,
        eps: float, weight: Tensor, stride: int, merged: bool,
    ) -> Tensor:  # fmt: skip
        y, mean, rstd = torch.native_batch_norm(x, gamma, beta, running_mean, running_var, True, momentum, eps)
        y = F.elu(y, inplace=True)
        ctx.options = ([stride, stride], [1, 1], [1, 1], merged, [0, 0], 1)
        ctx.eps = eps
        ctx.save_for_backward(x, gamma, beta, mean, rstd, weight, y if x.device.type == "cuda" else None)
        return torch.ops.aten.convolution(y, weight, None, *ctx.options)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 (as above)
        x, gamma, beta, mean, rstd, weight, y = ctx.saved_tensors
        if y is None:
            y = torch.native_batch_norm(x, gamma, beta, mean, rstd**-2 - ctx.eps, False, 0.0, ctx.eps)[0]
            y = F.elu(y, inplace=True)
        of_y, of_weight, _ = torch.ops.aten.convolution_backward(
            gradient, y, weight, None, *ctx.options, [True, True, False]
        )
        torch.ops.aten.elu_backward.grad_input(of_y, 1.0, 1.0, 1.0, True, y, grad_input=of_y)
        del y  # a quarter of a gigabyte in fp32, at the widest, when all feature maps are held
        of_x, of_gamma, of_beta = torch.ops.aten.native_batch_norm_backward(
            of_y, x, gamma, None, None, mean, rstd, True, ctx.eps, [True, True, True]
        )
        return of_x, of_gamma, of_beta, None, None, None, None, of_weight, None, None


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
        dtype = torch.promote_types(found.dtype, torch.float32)
        return torch.linalg.vector_norm(difference, dtype=dtype).square() / difference.numel()

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        (difference,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return difference * (2 / difference.numel() * gradient), None


def mean_over_images(loss: Callable[[Tensor, Tensor], Tensor], found: Tensor, wanted: Tensor) -> Tensor:
    """`loss(found, wanted)`, a mean over images, in the memory of a few of them; no gradient for `wanted`."""
    return _EarlyGradient.apply(loss, found, wanted)  # type: ignore[no-untyped-call]


def images_at_a_time(device: torch.device, side: int, batch: int) -> int:
    """How many images of a batch the perceptual loss takes at once; a GPU has the memory, and is faster on many."""
    return batch if device.type != "cpu" else min(batch, max(1, PIXELS_AT_A_TIME // side**2))


class _EarlyGradient(torch.autograd.Function):
    """The gradient for the first argument is taken at once, a few images at a time.

    What the network inside `loss` keeps for its backward pass is then freed before the next images and before the
    backward pass of the VAE: otherwise the two networks' feature maps of the whole batch are held together.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, loss: Callable[[Tensor, Tensor], Tensor], found: Tensor, wanted: Tensor) -> Tensor:
        total, gradients = found.new_zeros(()), []
        chunk = images_at_a_time(found.device, found.shape[-1], len(found))
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


class Steps:
    """`step` of a batch, on CUDA as one graph, which starts its kernels, some 1,200, at once."""

    def __init__(self, step: Callable[..., Tensor], recorded: bool = True) -> None:
        """`recorded`: whether the step, of tensors that lie on the device, may be one graph."""
        self.step, self.recorded = step, recorded
        self.taken = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.batch: tuple[Tensor, ...] = ()
        self.terms = torch.empty(0)

    def __call__(self, *batch: Tensor) -> Tensor:
        if not (GRAPHS and self.recorded) or batch[0].device.type != "cuda":
            return self.step(*batch)
        self.taken += 1
        if self.taken <= PLAIN_STEPS or (self.graph and len(batch[0]) != len(self.batch[0])):  # the last of an epoch
            return self.step(*batch)
        if self.graph is None:
            self.batch = tuple(part.clone() for part in batch)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.terms = self.step(*self.batch)
        for part, given in zip(self.batch, batch, strict=True):
            part.copy_(given)
        self.graph.replay()
        return self.terms.clone()
