"""The device of a run, and the precision of its matrix products."""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ffrepro.errors import UserError

# From glibc's malloc.h: options of mallopt, and the largest value of the second option.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _LARGEST = -1, -3, 32 << 20
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def choose_device(name: str) -> torch.device:
    """`auto` (a GPU if there is any), `cpu`, `cuda` or `cuda:N`; the process is set up to compute there.

    Raises UserError if there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"device is {name!r}: expected auto, cpu, cuda or cuda:N.")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UserError(f"device={name} asks for a GPU and PyTorch sees none: use device=cpu or device=auto.")
        if (device.index or 0) >= torch.cuda.device_count():
            raise UserError(f"device={name}: there are only {torch.cuda.device_count()} GPUs, counted from 0.")
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False  # sums are fp32
        if device.index is not None:
            torch.cuda.set_device(device)  # streams and graphs are created on the current device
    else:
        # The velocities of silent units decay to denormal numbers, which slow a processor down many times. Threads
        # inherit the setting from the thread that starts them, so it comes before any parallel work.
        torch.set_flush_denormal(True)
        _keep_freed_memory()
    return device


def _keep_freed_memory() -> None:
    """Reuse freed memory for tensors of up to 32 MB: a run allocates gigabytes a second.

    By default glibc returns freed memory at the end of the heap to the system, and requests it again page by page.
    Other C libraries are left alone, and so is glibc if the environment configures it.
    """
    configured = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if platform.libc_ver()[0] == "glibc" and not configured:
        libc = ctypes.CDLL(None)
        if libc.mallopt(_MMAP_THRESHOLD, _LARGEST):
            libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def choose_precision(name: str, device: torch.device) -> str:
    """`auto` is bf16 if the processor multiplies it faster than fp32 (AMX, AVX512-bf16, CUDA), else fp32.

    Raises UserError if there is no such precision.
    """
    if name == "auto":
        return "bf16" if fast_bf16(device) else "fp32"
    if name not in PRECISIONS:
        raise UserError(f"precision is {name!r}: expected auto, fp32 or bf16.")
    return name


def choose_threads(threads: int | None) -> None:
    """Compute with `threads` CPU threads; None keeps PyTorch's choice, a thread per core."""
    if threads is None:
        return
    if threads < 1:
        raise UserError(f"threads is {threads}: expected at least 1, up to the {os.cpu_count()} cores of this machine.")
    torch.set_num_threads(threads)


@contextmanager
def rounding_factors(compute_dtype: torch.dtype) -> Iterator[None]:
    """If `compute_dtype` is bf16, a CPU with AMX rounds the factors of fp32 matrix products to it, and sums in fp32.

    Other processors are not affected: see `copies_factors`.
    """
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = matmul.fp32_precision
    if compute_dtype == torch.bfloat16:
        matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def copies_factors(compute_dtype: torch.dtype, device: torch.device) -> bool:
    """Whether a gradient is the product of rounded copies of its factors, and is itself in `compute_dtype`.

    It is not if a CPU rounds the factors within the product (AMX), or is slow at bf16.
    """
    if compute_dtype != torch.bfloat16:
        return False
    return device.type == "cuda" or (fast_bf16(device) and not torch.cpu.get_capabilities().get("amx_bf16"))


def fast_bf16(device: torch.device) -> bool:
    """Whether the processor multiplies bf16 faster than fp32. Other processors emulate it, very slowly."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
