"""3x3 convolutions with a quarter of the multiplications: F(4x4, 3x3) of Lavin and Gray 2016, arXiv:1509.09308."""

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

# Pixels along the side of a tile of the output; and, for each row of the tile of the padded input that it is made of,
# the row that it is upsampled from.
TILE = 4
COPIED = (0, 1, 1, 2, 2, 3)
# What turns rows of a tile of the input and of a kernel into what is multiplied, and the products into rows of the
# output: interpolation at the points 0, 1, -1, 2, -2 and infinity (section 4 of the paper).
OF_INPUT = (
    (4.0, 0.0, -5.0, 0.0, 1.0, 0.0),
    (0.0, -4.0, -4.0, 1.0, 1.0, 0.0),
    (0.0, 4.0, -4.0, -1.0, 1.0, 0.0),
    (0.0, -2.0, -1.0, 2.0, 1.0, 0.0),
    (0.0, 2.0, -1.0, -2.0, 1.0, 0.0),
    (0.0, 4.0, 0.0, -5.0, 0.0, 1.0),
)
OF_KERNEL = (
    (1 / 4, 0.0, 0.0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0.0, 0.0, 1.0),
)
OF_PRODUCTS = (
    (1.0, 1.0, 1.0, 1.0, 1.0, 0.0),
    (0.0, 1.0, -1.0, 2.0, -2.0, 0.0),
    (0.0, 1.0, 1.0, 4.0, 4.0, 0.0),
    (0.0, 1.0, -1.0, 8.0, -8.0, 1.0),
)
# Of fewer channels the tiles take as long as they save: 64 images of 128 px in the networks of config.yaml and VGG19.
# An upsampling and a convolution have fewer multiplications to save (`evenhand.models.fast.merged_kernel`).
LEAST_CHANNELS, LEAST_UPSAMPLED_CHANNELS = 128, 512
# Fewer pixels in a batch are not worth a kernel of four times the size.
LEAST_PIXELS = 2048
# Numbers of the tiles of an input at a time, 32 MB in fp32: as many again are their products, and all stay in a cache.
NUMBERS_AT_A_TIME = 2**23


def pays(x: Tensor, weight: Tensor, upsample: bool = False) -> bool:
    """Whether `convolution(x, weight, upsample)` is the fastest: in fp32 on a processor, of many channels, whole tiles.

    Only where no gradient is taken: what its passes would have to keep is several times the input.
    """
    n, channels, height, width = x.shape
    step, least = (TILE // 2, LEAST_UPSAMPLED_CHANNELS) if upsample else (TILE, LEAST_CHANNELS)
    return (
        not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and height % step == width % step == 0
        and min(channels, len(weight)) >= least
        and n * height * width * (TILE // step) ** 2 >= LEAST_PIXELS
    )


def convolution(x: Tensor, weight: Tensor, upsample: bool = False) -> Tensor:
    """`F.conv2d(x, weight, padding=1)` of `x` (B, C, h, w) and `weight` (O, C, 3, 3); h and w are multiples of 4.

    A tile of 4 x 4 pixels takes 36 products of channels instead of 144. In fp32 its rounding errors are some four times
    those of the sum over nine.

    Args:
        upsample: of `x` at twice its sides, by nearest neighbours; h and w are multiples of 2.
    """
    n, channels, height, width = x.shape
    step, seen = (TILE // 2, max(COPIED) + 1) if upsample else (TILE, len(COPIED))
    rows, columns, outputs = height // step, width // step, len(weight)
    of_input, of_kernel, of_products = _transforms(x.dtype, upsample)
    kernel = torch.matmul(of_kernel, weight.permute(0, 2, 3, 1).reshape(outputs, 9, channels)).permute(1, 2, 0)
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    answer = x.new_empty(n, rows, TILE, columns, TILE, outputs)
    size = max(1, NUMBERS_AT_A_TIME // (len(kernel) * rows * columns * channels))
    for part, out in zip(padded.split(size), answer.split(size), strict=True):
        tiles = part.unfold(1, seen, step).unfold(2, seen, step)  # (b, rows, columns, C, seen, seen)
        tiles = torch.matmul(of_input, tiles.permute(0, 1, 2, 4, 5, 3).reshape(-1, seen**2, channels))
        products = torch.bmm(tiles.transpose(0, 1), kernel)
        found = of_products @ products.view(len(kernel), -1)
        out.copy_(found.view(TILE, TILE, -1, rows, columns, outputs).permute(2, 3, 0, 4, 1, 5))
    return answer.view(n, TILE * rows, TILE * columns, outputs).permute(0, 3, 1, 2)


@functools.cache
def _transforms(dtype: torch.dtype, upsample: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Of both sides at once: (36, 36), or (36, 16) of a tile before it is upsampled; (36, 9) and (16, 36)."""
    of_input, *others = (torch.tensor(along, dtype=dtype) for along in (OF_INPUT, OF_KERNEL, OF_PRODUCTS))
    if upsample:
        of_input = of_input @ F.one_hot(torch.tensor(COPIED)).to(dtype)
    of_input, of_kernel, of_products = (torch.kron(along, along) for along in (of_input, *others))
    return of_input, of_kernel, of_products
