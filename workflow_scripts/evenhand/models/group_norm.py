"""Group normalisation in bf16 on a processor, several times as fast as PyTorch's; there for speed alone."""

from typing import Any

import torch
from torch import Tensor, nn

# Of 16 images, 16 channels of 24 x 24 and 32 of 12 x 12, forward and backward, sums took 0.8 and 0.5 ms and PyTorch's
# group norm 4.2 and 1.2 ms; of 64 channels of 6 x 6 they took the same.
SUMMED_PIXELS = 100


def group_norm(x: Tensor, norm: nn.GroupNorm) -> Tensor:
    """`norm(x)` of maps (B, C, s, s), on a processor from sums per image and channel if they are bf16 and not small.

    PyTorch's own takes five times as long on maps whose channels are last. The variance is the mean square less the
    square of the mean: what cancels there is below what bf16 can tell apart.
    """
    if x.device.type != "cpu" or x.dtype != torch.bfloat16 or x.shape[2] * x.shape[3] < SUMMED_PIXELS:
        return norm(x)
    return _GroupNorm.apply(x, norm.weight, norm.bias, norm.num_groups, norm.eps)  # type: ignore[no-untyped-call]


class _GroupNorm(torch.autograd.Function):
    """Wu and He 2018, with everything of a channel of an image as one slope and one offset."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 (what is kept has no types)
        x: Tensor, gamma: Tensor, beta: Tensor, groups: int, eps: float,
    ) -> Tensor:  # fmt: skip
        wide = x.float()
        mean, square = _group_means(torch.stack([wide.sum((2, 3)), wide.square().sum((2, 3))]), groups, x)
        rstd = (square - mean.square()).clamp_min(0).add(eps).rsqrt()
        ctx.save_for_backward(x, gamma, mean, rstd)
        ctx.groups = groups
        slope = rstd * gamma
        return torch.addcmul(_of_channels(beta - mean * slope), wide, _of_channels(slope)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 (as above)
        x, gamma, mean, rstd = ctx.saved_tensors
        wide, gradient = x.float(), gradient.float()
        of_beta = gradient.sum((2, 3))
        of_gamma = rstd * ((gradient * wide).sum((2, 3)) - mean * of_beta)
        level, tilt = _group_means(torch.stack([gamma * of_beta, gamma * of_gamma]), ctx.groups, x)
        of_x = torch.addcmul(
            _of_channels(rstd * (mean * rstd * tilt - level)), wide, _of_channels(-rstd.square() * tilt)
        ).addcmul_(gradient, _of_channels(rstd * gamma))
        return of_x.to(x.dtype), of_gamma.sum(0), of_beta.sum(0), None, None


def _group_means(sums: Tensor, groups: int, x: Tensor) -> Tensor:
    """Of sums over the pixels of each channel of `x`, (k, B, C), the means over its group, (k, B, C)."""
    channels = x.shape[1] // groups
    means = sums.unflatten(2, (groups, channels)).sum(3) / (channels * x.shape[2] * x.shape[3])
    return means.repeat_interleave(channels, 2)


def _of_channels(values: Tensor) -> Tensor:
    """(B, C) for maps (B, C, s, s)."""
    return values[:, :, None, None]
