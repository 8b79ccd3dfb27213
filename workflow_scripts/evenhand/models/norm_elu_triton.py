"""Batch norm and ELU for CUDA, in two passes over memory each way where PyTorch takes three and four.

Feature maps are matrices of rows (one a pixel of the batch) and columns (channels), as they lie with channels last.
A column is summed by many programs over a part of the rows each, then by one over the parts: always in the same order.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

COLUMNS, ROWS = 64, 64  # of a block of the matrix
PROGRAMS = 1024  # at least so many, if there are enough blocks, that sum columns


@triton.jit
def _block(matrix, row, column, last_row, columns, stride):
    inside = (row[:, None] < last_row) & (column[None, :] < columns)
    return tl.load(matrix + row[:, None].to(tl.int64) * stride + column[None, :], inside, other=0.0).to(
        tl.float32
    ), inside


@triton.jit
def _sum_moments(x, parts, rows, columns, rows_of_part, BR: tl.constexpr, BC: tl.constexpr):
    # Of x minus the first row, which is near the mean, for the sake of rounding.
    column, part = tl.program_id(0) * BC + tl.arange(0, BC), tl.program_id(1)
    pivot = tl.load(x + column, column < columns, other=0.0).to(tl.float32)
    first, last = part * rows_of_part, min((part + 1) * rows_of_part, rows)
    total, squares = tl.zeros((BC,), tl.float32), tl.zeros((BC,), tl.float32)
    for start in range(first, last, BR):
        block, inside = _block(x, start + tl.arange(0, BR), column, last, columns, columns)
        apart = tl.where(inside, block - pivot[None, :], 0.0)
        total += tl.sum(apart, 0)
        squares += tl.sum(apart * apart, 0)
    out = parts + part * columns + column
    tl.store(out, total, column < columns)
    tl.store(out + tl.num_programs(1) * columns, squares, column < columns)


@triton.jit
def _sum_parts(parts, count, columns, column, BR: tl.constexpr, BC: tl.constexpr):
    total = tl.zeros((BC,), tl.float32)
    for start in range(0, count, BR):
        block, _ = _block(parts, start + tl.arange(0, BR), column, count, columns, columns)
        total += tl.sum(block, 0)
    return total


@triton.jit
def _moments(
    x, parts, mean, rstd, running_mean, running_var, count, rows, columns, momentum, eps,
    BR: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    column = tl.program_id(0) * BC + tl.arange(0, BC)
    inside = column < columns
    shift = _sum_parts(parts, count, columns, column, BR, BC) / rows
    square = _sum_parts(parts + count * columns, count, columns, column, BR, BC) / rows
    found = tl.load(x + column, inside, other=0.0).to(tl.float32) + shift
    variance = tl.maximum(square - shift * shift, 0.0)
    tl.store(mean + column, found, inside)
    tl.store(rstd + column, 1.0 / tl.sqrt(variance + eps), inside)
    unbiased = variance * (rows / (rows - 1))
    tl.store(running_mean + column, tl.load(running_mean + column, inside) * (1 - momentum) + found * momentum, inside)
    tl.store(running_var + column, tl.load(running_var + column, inside) * (1 - momentum) + unbiased * momentum, inside)


@triton.jit
def _apply(x, y, weight, bias, mean, rstd, rows, columns, BR: tl.constexpr, BC: tl.constexpr):
    row, column = tl.program_id(0) * BR + tl.arange(0, BR), tl.program_id(1) * BC + tl.arange(0, BC)
    inside = column < columns
    scale = tl.load(rstd + column, inside, other=0.0) * tl.load(weight + column, inside, other=0.0)
    shift = tl.load(bias + column, inside, other=0.0) - tl.load(mean + column, inside, other=0.0) * scale
    block, whole = _block(x, row, column, rows, columns, columns)
    normed = block * scale[None, :] + shift[None, :]
    active = tl.where(normed > 0, normed, tl.exp(tl.minimum(normed, 0.0)) - 1)
    tl.store(y + row[:, None].to(tl.int64) * columns + column[None, :], active.to(y.dtype.element_ty), whole)


@triton.jit
def _gradients(gradient, x, weight, bias, mean, rstd, row, column, last, columns):
    # Of the norm's output, and the normalised input; 0 outside.
    inside = column < columns
    block, whole = _block(x, row, column, last, columns, columns)
    given, _ = _block(gradient, row, column, last, columns, columns)
    middle, scale = tl.load(mean + column, inside, other=0.0), tl.load(rstd + column, inside, other=0.0)
    normed = tl.where(whole, (block - middle[None, :]) * scale[None, :], 0.0)
    factor, offset = tl.load(weight + column, inside, other=0.0), tl.load(bias + column, inside, other=0.0)
    before = normed * factor[None, :] + offset[None, :]
    return tl.where(before > 0, given, given * tl.exp(tl.minimum(before, 0.0))), normed, whole


@triton.jit
def _sum_gradients(
    gradient, x, weight, bias, mean, rstd, parts, rows, columns, rows_of_part, BR: tl.constexpr, BC: tl.constexpr
):
    column, part = tl.program_id(0) * BC + tl.arange(0, BC), tl.program_id(1)
    first, last = part * rows_of_part, min((part + 1) * rows_of_part, rows)
    total, products = tl.zeros((BC,), tl.float32), tl.zeros((BC,), tl.float32)
    for start in range(first, last, BR):
        row = start + tl.arange(0, BR)
        given, normed, _ = _gradients(gradient, x, weight, bias, mean, rstd, row, column, last, columns)
        total += tl.sum(given, 0)
        products += tl.sum(given * normed, 0)
    out = parts + part * columns + column
    tl.store(out, total, column < columns)
    tl.store(out + tl.num_programs(1) * columns, products, column < columns)


@triton.jit
def _parameter_gradients(parts, of_weight, of_bias, count, columns, BR: tl.constexpr, BC: tl.constexpr):
    column = tl.program_id(0) * BC + tl.arange(0, BC)
    tl.store(of_bias + column, _sum_parts(parts, count, columns, column, BR, BC), column < columns)
    products = _sum_parts(parts + count * columns, count, columns, column, BR, BC)
    tl.store(of_weight + column, products, column < columns)


@triton.jit
def _input_gradient(
    gradient, x, weight, bias, mean, rstd, of_weight, of_bias, out, rows, columns, BR: tl.constexpr, BC: tl.constexpr
):
    row, column = tl.program_id(0) * BR + tl.arange(0, BR), tl.program_id(1) * BC + tl.arange(0, BC)
    inside = column < columns
    given, normed, whole = _gradients(gradient, x, weight, bias, mean, rstd, row, column, rows, columns)
    common = tl.load(of_bias + column, inside, other=0.0) / rows
    along = tl.load(of_weight + column, inside, other=0.0) / rows
    scale = tl.load(rstd + column, inside, other=0.0) * tl.load(weight + column, inside, other=0.0)
    found = scale[None, :] * (given - common[None, :] - normed * along[None, :])
    tl.store(out + row[:, None].to(tl.int64) * columns + column[None, :], found.to(out.dtype.element_ty), whole)


class TritonsNormElu:
    """`evenhand.models.norm_elu.NormElu` by kernels in Triton, of maps with channels last."""

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, bias: Tensor, running_mean: Tensor, running_var: Tensor, momentum: float, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        rows, columns, size, count, part = _layout(x)
        parts = torch.empty(2, count, columns, device=x.device, dtype=torch.float32)
        mean, rstd = torch.empty_like(running_mean), torch.empty_like(running_mean)
        _sum_moments[(triton.cdiv(columns, size["BC"]), count)](x, parts, rows, columns, part, **size)
        _moments[(triton.cdiv(columns, size["BC"]),)](
            x, parts, mean, rstd, running_mean, running_var, count, rows, columns, momentum, eps, **size
        )
        return TritonsNormElu.again(x, weight, bias, mean, rstd, eps), mean, rstd

    @staticmethod
    def again(x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, eps: float) -> Tensor:
        rows, columns, size, _, _ = _layout(x)
        y = torch.empty_like(x)
        grid = (triton.cdiv(rows, size["BR"]), triton.cdiv(columns, size["BC"]))
        _apply[grid](x, y, weight, bias, mean, rstd, rows, columns, **size)
        return y

    @staticmethod
    def backward(
        gradient: Tensor, y: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        rows, columns, size, count, part = _layout(x)
        blocks = triton.cdiv(columns, size["BC"])
        parts = torch.empty(2, count, columns, device=x.device, dtype=torch.float32)
        of_weight, of_bias, out = torch.empty_like(weight), torch.empty_like(bias), torch.empty_like(x)
        known = (gradient, x, weight, bias, mean, rstd)
        _sum_gradients[(blocks, count)](*known, parts, rows, columns, part, **size)
        _parameter_gradients[(blocks,)](parts, of_weight, of_bias, count, columns, **size)
        grid = (triton.cdiv(rows, size["BR"]), blocks)
        _input_gradient[grid](*known, of_weight, of_bias, out, rows, columns, **size)
        return out, of_weight, of_bias


def _layout(x: Tensor) -> tuple[int, int, dict[str, int], int, int]:
    """Rows and columns of `x` (B, C, s, s), the block's size, and the number of parts of the rows and rows of each."""
    columns, rows = x.shape[1], x.numel() // x.shape[1]
    size = {"BR": ROWS, "BC": min(COLUMNS, triton.next_power_of_2(columns))}
    parts = min(triton.cdiv(PROGRAMS, triton.cdiv(columns, size["BC"])), triton.cdiv(rows, size["BR"]))
    part = triton.cdiv(triton.cdiv(rows, parts), size["BR"]) * size["BR"]
    return rows, columns, size, triton.cdiv(rows, part), part
