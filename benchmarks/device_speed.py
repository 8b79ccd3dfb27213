"""How fast a device is at best: timing that waits for it, products of matrices, memory bandwidth."""

import time
from collections.abc import Callable

import torch


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
    """FLOP/s of the fastest of several products of square matrices of random numbers (zeros are multiplied faster)."""
    n = n or (8192 if device.type == "cuda" else 2048)
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    a @ b
    return float(2 * n**3 / min(seconds(lambda: a @ b, device) for _ in range(7)))


def bandwidth(device: torch.device) -> float:
    """Bytes/s of copying an array too large for any cache, reading and writing counted."""
    a = torch.randint(256, (2**28,), device=device, dtype=torch.uint8)
    b = a.clone()
    return 2 * a.numel() / min(seconds(lambda: b.copy_(a), device) for _ in range(7))
