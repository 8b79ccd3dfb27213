"""conv(elu(norm(x + bias))), of which every block of the network is made, with less traffic through memory.

A batch norm of a training takes any constant of a channel away again, so the bias of the convolution before it, and all
that was added to a sum of such convolutions, need not be added to the feature maps at all: `x` travels without its
`bias`, one number a channel. And norm, ELU and convolution are one step of the backward pass, for which a processor
keeps `x` alone and a GPU, which has the memory, the input of the convolution besides.
"""

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evenhand.models.fast import merged_kernel, merging_pays

# On CUDA by the kernels of `norm_elu_triton`: on an H100 those take 29 % less time than PyTorch's, but so long to start
# that the whole step takes more. Not measured together with `evenhand.training.graphs`, which starts them all at once.
TRITON = False


def norm_elu_convolution(
    x: Tensor, bias: Tensor, norm: nn.Module, weight: Tensor, stride: int = 1, upsample: bool = False
) -> Tensor:
    """`plain_norm_elu_convolution` of the same arguments, up to rounding.

    A bias that a batch norm takes away again gets no gradient, where the plain version gives it one of rounding errors.
    """
    if not isinstance(norm, nn.BatchNorm2d):
        return plain_norm_elu_convolution(x, bias, norm, weight, stride, upsample)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    shift = bias.detach()
    mean = norm.running_mean - shift  # of x without its bias
    transposed = upsample and merging_pays(x)
    if norm.training and (transposed or not upsample) and x.device.type != "meta":
        weight, stride = (merged_kernel(weight), 2) if transposed else (weight, stride)
        out = _NormEluConvolution.apply(
            x,
            norm.weight,
            norm.bias,
            mean,
            norm.running_var,
            norm.momentum,
            norm.eps,
            weight.to(x.dtype),
            stride,
            transposed,
        )  # type: ignore[no-untyped-call]
    else:
        momentum = norm.momentum or 0.0
        h = F.batch_norm(x, mean, norm.running_var, norm.weight, norm.bias, norm.training, momentum, norm.eps)
        h = F.elu(h, inplace=True)
        if transposed:
            out = F.conv_transpose2d(h, merged_kernel(weight), None, stride=2, padding=1)
        else:
            out = F.conv2d(_upsampled(h) if upsample else h, weight, None, stride, padding=1)
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
    return F.conv2d(_upsampled(h) if upsample else h, weight, None, stride, padding=1)


def _upsampled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class NormElu(Protocol):
    """Batch norm and ELU on a kind of device; mean and rstd are (C,) of fp32."""

    def forward(
        self, x: Tensor, weight: Tensor, bias: Tensor, running_mean: Tensor, running_var: Tensor, momentum: float,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """elu(norm(x)), the mean and 1 / the standard deviation of `x`; the running ones are updated."""

    def again(self, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, eps: float) -> Tensor:
        """What `forward` gave."""

    def backward(
        self, gradient: Tensor, y: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """The gradients of x, weight and bias; `gradient` is that of `y`, which `forward` gave."""


class PyTorchsNormElu:
    """By PyTorch's operations."""

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, bias: Tensor, running_mean: Tensor, running_var: Tensor, momentum: float, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        y, mean, rstd = torch.native_batch_norm(x, weight, bias, running_mean, running_var, True, momentum, eps)
        return F.elu(y, inplace=True), mean, rstd

    @staticmethod
    def again(x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, eps: float) -> Tensor:
        variance = rstd**-2 - eps
        return F.elu(torch.native_batch_norm(x, weight, bias, mean, variance, False, 0.0, eps)[0], inplace=True)

    @staticmethod
    def backward(
        gradient: Tensor, y: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        of_norm = torch.ops.aten.elu_backward(gradient, 1.0, 1.0, 1.0, True, y)
        gradients: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.native_batch_norm_backward(
            of_norm, x, weight, None, None, mean, rstd, True, eps, [True, True, True]
        )
        return gradients


def _norm_elu_of(x: Tensor) -> NormElu:
    if TRITON and x.device.type == "cuda" and x.is_contiguous(memory_format=torch.channels_last):
        from evenhand.models.norm_elu_triton import TritonsNormElu  # noqa: PLC0415 (only where there is Triton)

        return TritonsNormElu()
    return PyTorchsNormElu()


class _NormEluConvolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 (what is kept has no types)
        x: Tensor, gamma: Tensor, beta: Tensor, running_mean: Tensor, running_var: Tensor, momentum: float,
        eps: float, weight: Tensor, stride: int, transposed: bool,
    ) -> Tensor:  # fmt: skip
        y, mean, rstd = _norm_elu_of(x).forward(x, gamma, beta, running_mean, running_var, momentum, eps)
        ctx.options = ([stride, stride], [1, 1], [1, 1], transposed, [0, 0], 1)
        ctx.eps = eps
        kept = y if x.device.type == "cuda" else None
        ctx.save_for_backward(x, gamma, beta, mean, rstd, weight, kept)
        return torch.ops.aten.convolution(y, weight, None, *ctx.options)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 (as above)
        x, gamma, beta, mean, rstd, weight, y = ctx.saved_tensors
        steps = _norm_elu_of(x)
        if y is None:
            y = steps.again(x, gamma, beta, mean, rstd, ctx.eps)
        of_y, of_weight, _ = torch.ops.aten.convolution_backward(
            gradient, y, weight, None, *ctx.options, [True, True, False]
        )
        of_x, of_gamma, of_beta = steps.backward(of_y, y, x, gamma, beta, mean, rstd, ctx.eps)
        return of_x, of_gamma, of_beta, None, None, None, None, of_weight, None, None
