"""How fast a device is at best: timing that waits for it, products of matrices, memory bandwidth."""

import time
from collections.abc import Callable

import torch
from torch.nn import functional


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def seconds(work: Callable[[], object], device: torch.device) -> float:
    wait(device)
    start = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - start


def matrix_peak(dtype: torch.dtype, device: torch.device, n: int | None = None) -> float:
    """FLOP/s of the faster of two: a product of square matrices, and a 3x3 convolution whose channels are last.

    On a processor two libraries do them, MKL (fp32) and oneDNN, and either may be the faster. Each is the fastest of
    several, of random numbers: zeros are multiplied faster.
    """
    n = n or (8192 if device.type == "cuda" else 2048)
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    images, side, channels = n // 256 or 1, 16, n // 4
    x = torch.randn(images, channels, side, side, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    weight = torch.randn(channels, channels, 3, 3, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    candidates: list[tuple[float, Callable[[], object]]] = [
        (2 * n**3, lambda: a @ b),
        (18 * images * side**2 * channels**2, lambda: functional.conv2d(x, weight, padding=1)),
    ]
    rates = []
    for work, run in candidates:
        run()
        rates.append(work / min(seconds(run, device) for _ in range(7)))
    return max(rates)


def bandwidth(device: torch.device) -> float:
    """Bytes/s of copying an array too large for any cache, reading and writing counted."""
    a = torch.randint(256, (2**28,), device=device, dtype=torch.uint8)
    b = a.clone()
    return 2 * a.numel() / min(seconds(lambda: b.copy_(a), device) for _ in range(7))
