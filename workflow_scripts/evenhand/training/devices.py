"""Choice of device and arithmetic, and what was chosen in words for the record of a run."""

import argparse
import ctypes
import fcntl
import os
import platform
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch

from evenhand.workflow.errors import UserError


def peak_resident_mb() -> float:
    """Highest resident memory of this process so far, in MiB."""
    try:
        # Not ru_maxrss first: a process inherits it from the one that started it, be it Snakemake or a benchmark.
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(status["VmHWM"].split()[0]) / 2**10
    except (OSError, KeyError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


SECONDS_BETWEEN_TRIES = 0.1
# Of mallopt, in malloc.h of the GNU C library.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
# Memory that a training may take to save time (`known_targets`), in bytes, of what its rule asks for; and of a GPU the
# share of what is free when the job begins: none yet, since no GPU has shown what half of it, as
# `benchmarks/gpu_check.py` takes, saves, and that no bit changes (tests/test_cuda.py).
SPARE_BYTES = 2**31
FREE_SHARE = 0.0


def visible_devices(count: int) -> list[str]:
    """The GPUs this process may use, as they are spelled: the entries of CUDA_VISIBLE_DEVICES, else 0 .. count - 1.

    Position i is the device that CUDA calls `cuda:i`.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [str(index) for index in range(count)]
    return [name.strip() for name in visible.split(",") if name.strip()][:count]


def lock_folder() -> Path:
    """The folder of the locks, one per user, on this machine's own disk."""
    return Path(tempfile.gettempdir()) / f"evenhand-gpu-{os.getuid()}"


@contextmanager
def lease(names: Sequence[str], slots_per_device: int, folder: Path) -> Iterator[int]:
    """Hold one slot of the least used GPU and yield its position in `names`; wait while all slots are taken.

    A name has to be the same in every process, whichever order it sees the GPUs in.

    Raises:
        UserError: there is no GPU to lease.
    """
    if not names:
        raise UserError("no GPU to use: CUDA_VISIBLE_DEVICES is empty. Unset it, or set device: cpu.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    waiting = False
    while True:
        # Slot by slot, so that a second job goes to the second GPU before it shares the first.
        for slot in range(slots_per_device):
            for position, name in enumerate(names):
                file = open(folder / f"{name.replace('/', '_')}.{slot}.lock", "w")  # noqa: SIM115 (held while leased)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    file.close()
                    continue
                try:
                    yield position
                finally:
                    file.close()
                return
        if not waiting:
            print(f"waiting for one of {len(names)} GPUs with {slots_per_device} slots each (locks in {folder})")
            waiting = True
        time.sleep(SECONDS_BETWEEN_TRIES)


ModuleType = TypeVar("ModuleType", bound=torch.nn.Module)


def add_gpu_options(parser: argparse.ArgumentParser) -> None:
    """What a script that uses `leased_device` is told about GPUs."""
    parser.add_argument("--gpus", type=int, default=0, help="GPUs that Snakemake counts for this job")
    parser.add_argument("--gpu-slots", type=int, default=1, help="jobs that share one GPU")


@contextmanager
def leased_device(wanted: str, slots_per_device: int, work: str = "working", gpus: int = 0) -> Iterator[torch.device]:
    """The device of a job while it lasts: `auto` takes CUDA where there is one. What was chosen and why is printed.

    Each visible GPU serves `slots_per_device` jobs at a time, on a workstation and in a Slurm allocation of several;
    of one device alone Slurm has given it to this job.

    Args:
        work: what the job does, for the line that is printed: `training`.
        gpus: how many GPUs Snakemake counts for the job.

    Raises:
        UserError: `cuda` was asked for and there is none.
    """
    if wanted == "cpu" or not torch.cuda.is_available():
        reason = device_reason(wanted, torch.device("cpu"))
        if wanted == "cuda":
            raise UserError(f"device: cuda was asked for, but {reason}; device: auto takes what there is")
        held = held_gpus(gpus)
        unused = f"; the job holds a GPU ({held}) and does not use it" if held else ""
        kind = "warning: " if held else "note: " if wanted == "auto" else ""
        print(f"{kind}{work} on cpu: {reason}{unused}", flush=True)
        yield torch.device("cpu")
        return
    names = identities(torch.cuda.device_count())
    if len(names) == 1 and "SLURM_JOB_ID" in os.environ:
        print(f"{work} on cuda:0 ({names[0]}, given by Slurm)", flush=True)
        yield torch.device("cuda", 0)
        return
    with lease(names, slots_per_device, lock_folder()) as position:
        print(f"{work} on cuda:{position} ({names[position]}, one of {len(names)})", flush=True)
        begun = time.monotonic()
        torch.cuda.set_device(position)
        yield torch.device("cuda", position)
        torch.cuda.empty_cache()  # the next job needs the memory, too
        print(f"{work} held cuda:{position} for {time.monotonic() - begun:.1f} s", flush=True)


def device_reason(wanted: str, device: torch.device) -> str:
    """Why a job runs on `device`, in words: it was asked for, or what PyTorch says of CUDA."""
    if wanted == "cpu":
        return "asked for"
    if device.type == "cuda":
        return "PyTorch finds a CUDA device"
    try:
        torch.cuda.init()
        answer = "it counts none"
    except (AssertionError, RuntimeError) as error:  # a CPU build; no driver, one that is too old, no device
        answer = str(error).splitlines()[0]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "unset")
    return f"PyTorch finds no CUDA device: {answer} (torch {torch.__version__}, CUDA_VISIBLE_DEVICES={visible})"


def held_gpus(gpus: int) -> str:
    """What says that this job holds a GPU: Snakemake's count, Slurm or CUDA_VISIBLE_DEVICES; "" when nothing does."""
    if gpus:
        return f"gpu={gpus}"
    for name in ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_GPUS_ON_NODE", "CUDA_VISIBLE_DEVICES"):
        value = os.environ.get(name, "")
        if value not in ("", "0" if name == "SLURM_GPUS_ON_NODE" else "-1", "NoDevFiles"):
            return f"{name}={value}"
    return ""


def identities(count: int) -> list[str]:
    """A name for each visible GPU, the same in every process on this machine, whatever it calls the device itself.

    That is the UUID. Parts of a GPU (MIG) may share it and are told apart by their own, in CUDA_VISIBLE_DEVICES. Where
    PyTorch tells none, as old versions do, a GPU is known by how it is spelled there.
    """
    spelled = visible_devices(count)
    found = [_identity(position, name) for position, name in enumerate(spelled)]
    return found if len(set(found)) == len(found) else spelled


def _identity(position: int, spelled: str) -> str:
    if spelled.startswith("MIG-"):
        return spelled
    try:
        uuid = str(torch.cuda.get_device_properties(position).uuid)
    except (AssertionError, AttributeError, RuntimeError):
        return spelled
    return f"GPU-{uuid.removeprefix('GPU-')}"


def choose_precision(wanted: str, device: torch.device) -> str:
    """`auto` becomes bf16 where the hardware multiplies bfloat16 natively, else fp32; that is printed."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = _cpu_has_native_bf16()
    chosen, multiplies = ("bf16", "multiplies") if native else ("fp32", "does not multiply")
    print(f"precision: auto is {chosen}, since this {device.type} {multiplies} bfloat16 natively", flush=True)
    return chosen


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


def spare_memory(device: torch.device, slots: int) -> int:
    """Bytes of `device` that one of `slots` jobs on it may use to save time."""
    if device.type == "cpu":
        return SPARE_BYTES
    return int(FREE_SHARE * torch.cuda.mem_get_info(device)[0] / slots)


def keep_freed_memory() -> None:
    """Keep what is freed for what comes next, where the GNU C library manages memory; elsewhere nothing happens.

    Else each large feature map goes back to the system, which clears the pages of the next one: a sixth of the time of
    an evaluation at 128 px. It takes more memory, as holes stay between what is held.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)


def make_deterministic(deterministic: bool = True, tf32: bool = False) -> None:
    """Ask PyTorch for algorithms that give the same bits on every run; call it before anything is on the GPU.

    Otherwise cuDNN tries its algorithms and takes the fastest. The network's operations on a CPU give the same bits
    either way. In both cases fp32 means fp32, unless convolutions may take TF32, which rounds the factors of a product
    to 10 bits, on a GPU that has it.
    """
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, tf32
    torch.backends.cudnn.benchmark = not deterministic
    # cuBLAS reads this when it starts, and is deterministic only with a fixed workspace.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # What torch.use_deterministic_algorithms does, without importing PyTorch's compiler, which takes seconds.
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    # Filling new memory with NaN unmasks code that reads it unwritten, at the price of one more pass over it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def hardware(device: torch.device) -> dict[str, str | int]:
    """Device name, processor and thread count for the record of a run."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {"device": device.type, "device_name": name, "threads": torch.get_num_threads()}


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory of this process in MiB: on the GPU when there is one, else resident."""
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else peak_resident_mb()
