"""Which device a run uses, and in which precision its matrix products are."""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ffrepro.errors import UserError

# Of glibc's malloc.h: options of mallopt, and the largest size that the second one takes.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _LARGEST = -1, -3, 32 << 20
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def choose_device(name: str) -> torch.device:
    """`auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`; the process is set up to compute there.

    Raises:
        UserError: no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"device is {name!r}: expected auto, cpu, cuda or cuda:N.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device={name} asks for a GPU and PyTorch sees none: use device=cpu or device=auto.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device={name}: there are only {torch.cuda.device_count()} GPUs, counted from 0.")
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False  # sums are fp32
        if device.index is not None:
            torch.cuda.set_device(device)  # streams and graphs are opened on the current one
    if device.type == "cpu":
        # The velocities of silent units decay to numbers so small that a processor takes many times as long for them.
        # Threads have it from the one that starts them: this comes before any parallel work.
        torch.set_flush_denormal(True)
        _keep_freed_memory()
    return device


def _keep_freed_memory() -> None:
    """Have tensors of up to 32 MB, gigabytes of them a second, use what was freed before instead of new pages.

    By default glibc gives freed memory back to the system and asks for it again, page by page, whenever it happens
    to lie at the end of what it has. Other C libraries are left as they are, and so is what the environment says of it.
    """
    told = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if platform.libc_ver()[0] == "glibc" and not told:
        libc = ctypes.CDLL(None)
        if libc.mallopt(_MMAP_THRESHOLD, _LARGEST):
            libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def choose_precision(name: str, device: torch.device) -> str:
    """`auto` is bf16 where the processor multiplies it faster than fp32 (AMX, AVX512-bf16, CUDA), else fp32."""
    if name == "auto":
        return "bf16" if fast_bf16(device) else "fp32"
    if name not in PRECISIONS:
        raise UserError(f"precision is {name!r}: expected auto, fp32 or bf16.")
    return name


def choose_threads(threads: int | None) -> None:
    """Compute with `threads` CPU threads; None leaves PyTorch's choice, one a core."""
    if threads is None:
        return
    if threads < 1:
        raise UserError(f"threads is {threads}: expected at least 1, up to the {os.cpu_count()} cores of this machine.")
    torch.set_num_threads(threads)


@contextmanager
def rounding_factors(products: torch.dtype) -> Iterator[None]:
    """Have a CPU with AMX round the factors of fp32 matrix products to bf16 if `products` are, and sum in fp32 as ever.

    On other processors it changes nothing: see `copies_factors`.
    """
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = matmul.fp32_precision
    if products == torch.bfloat16:
        matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def copies_factors(products: torch.dtype, device: torch.device) -> bool:
    """Whether the factors of a gradient are to be rounded copies, as `products` are of bf16, and so is what comes out.

    Not on a CPU that rounds them in passing (AMX), or is slow at bf16.
    """
    if products != torch.bfloat16:
        return False
    return device.type == "cuda" or (fast_bf16(device) and not torch.cpu.get_capabilities().get("amx_bf16"))


def fast_bf16(device: torch.device) -> bool:
    """Whether the processor multiplies bf16 faster than fp32; elsewhere it is emulated, and very slow."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
