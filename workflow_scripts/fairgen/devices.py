"""Choice of device and arithmetic, and what was chosen in words for the record of a run."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch

from fairgen.errors import UserError
from fairgen.gpu_lease import lease, lock_folder, visible_devices
from fairgen.memory import peak_resident_mb

ModuleType = TypeVar("ModuleType", bound=torch.nn.Module)


@contextmanager
def leased_device(wanted: str, slots_per_device: int) -> Iterator[torch.device]:
    """The device of a job while it lasts: `auto` takes CUDA where there is one.

    On a workstation each GPU serves `slots_per_device` jobs at a time; under Slurm the scheduler has chosen.

    Raises:
        UserError: `cuda` was asked for and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "device: cuda was asked for, but PyTorch finds no CUDA device "
            f"(torch {torch.__version__}, CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES', 'unset')}). "
            "A build of PyTorch for CUDA and a GPU that the job can see are needed; device: auto takes what there is."
        )
    if wanted == "cpu" or not torch.cuda.is_available():
        yield torch.device("cpu")
    elif "SLURM_JOB_ID" in os.environ:
        yield torch.device("cuda", 0)
    else:
        with lease(visible_devices(torch.cuda.device_count()), slots_per_device, lock_folder()) as position:
            torch.cuda.set_device(position)
            yield torch.device("cuda", position)


def choose_precision(wanted: str, device: torch.device) -> str:
    """`auto` becomes bf16 where the hardware multiplies bfloat16 natively, else fp32."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = _cpu_has_native_bf16()
    return "bf16" if native else "fp32"


def _cpu_has_native_bf16() -> bool:
    """Whether the processor has bfloat16 instructions (AVX-512 BF16 or AMX); without them bf16 is slower than fp32."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return " avx512_bf16" in flags or " amx_bf16" in flags


def place(module: ModuleType, device: torch.device) -> ModuleType:
    """`module` on `device`, its convolution weights with channels last in memory."""
    return module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def make_deterministic(deterministic: bool = True) -> None:
    """Ask PyTorch for algorithms that give the same bits on every run; call it before anything is on the GPU.

    Otherwise cuDNN tries its algorithms and takes the fastest. The network's operations on a CPU give the same bits
    either way.
    """
    torch.backends.cudnn.benchmark = not deterministic
    if not deterministic:
        return
    # cuBLAS reads this when it starts, and is deterministic only with a fixed workspace.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # What torch.use_deterministic_algorithms(True) does, without importing PyTorch's compiler, which takes seconds.
    torch.set_deterministic_debug_mode("error")
    # Filling new memory with NaN unmasks code that reads it unwritten, at the price of one more pass over it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def hardware(device: torch.device) -> dict[str, str | int]:
    """Device name, processor and thread count for the record of a run."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {"device": device.type, "device_name": name, "threads": torch.get_num_threads()}


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory of this process in MiB: on the GPU when there is one, else resident."""
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else peak_resident_mb()
