"""Devices, precisions and threads."""

import importlib
import os
import platform
import subprocess
from collections.abc import Callable

import pytest
import torch

import ffrepro
from ffrepro import device
from ffrepro.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


@pytest.mark.usefixtures("no_gpu")
def test_auto_is_the_cpu_without_a_gpu() -> None:
    assert device.choose_device("auto") == CPU
    assert device.choose_device("cpu") == CPU


@pytest.mark.usefixtures("gpus")
def test_auto_is_the_gpu_if_there_is_any(monkeypatch: pytest.MonkeyPatch) -> None:
    current: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    assert device.choose_device("auto").type == "cuda"
    assert device.choose_device("cpu") == CPU
    assert not current
    matmul = torch.backends.cuda.matmul
    matmul.allow_bf16_reduced_precision_reduction = True  # torch's default
    assert device.choose_device("cuda:1") == torch.device("cuda:1")
    assert current == [torch.device("cuda:1")]  # graphs are captured on the current device
    assert not matmul.allow_bf16_reduced_precision_reduction  # sums are fp32


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:3"])
def test_a_missing_gpu_is_reported(name: str) -> None:
    with pytest.raises(UserError, match=f"device={name} asks for a GPU and PyTorch sees none"):
        device.choose_device(name)


@pytest.mark.usefixtures("gpus")
def test_for_a_number_too_high_the_gpus_are_counted() -> None:
    with pytest.raises(UserError, match="device=cuda:2: there are only 2 GPUs"):
        device.choose_device("cuda:2")


@pytest.mark.parametrize("name", ["cdua", "gpu", "", "meta", "cuda:x", "cuda:-1", "mps"])
def test_an_unknown_device_is_named(name: str) -> None:
    with pytest.raises(UserError, match="expected auto, cpu, cuda or cuda:N"):
        device.choose_device(name)


def test_a_named_precision_is_taken() -> None:
    assert device.choose_precision("fp32", CPU) == "fp32"
    assert device.choose_precision("bf16", CPU) == "bf16"
    with pytest.raises(UserError, match="precision is 'fp16': expected auto, fp32 or bf16"):
        device.choose_precision("fp16", CPU)


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ({}, "fp32"),
        ({"avx2": True, "amx_bf16": False}, "fp32"),
        ({"amx_bf16": True}, "bf16"),
        ({"avx512_bf16": True}, "bf16"),
    ],
)
def test_auto_precision_asks_the_processor(
    capabilities: dict[str, bool], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert device.choose_precision("auto", CPU) == precision


def test_denormal_numbers_are_0_on_a_cpu() -> None:
    small = torch.full((4,), 1e-30)
    torch.set_flush_denormal(False)
    try:
        assert (small * 1e-10).count_nonzero() == 4
        device.choose_device("cpu")
        assert (small * 1e-10).count_nonzero() == 0
    finally:
        torch.set_flush_denormal(True)


def test_threads_are_set_unless_none_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    device.choose_threads(None)
    assert chosen == []
    device.choose_threads(3)
    assert chosen == [3]
    with pytest.raises(UserError, match="threads is 0: expected at least 1"):
        device.choose_threads(0)


def test_factors_of_fp32_products_are_rounded_within_the_block_alone() -> None:
    matmul = torch.backends.mkldnn.matmul
    before = matmul.fp32_precision
    with device.rounding_factors(torch.bfloat16):
        assert matmul.fp32_precision == "bf16"
    assert matmul.fp32_precision == before
    with device.rounding_factors(torch.float32):
        assert matmul.fp32_precision == before


@pytest.mark.parametrize(
    ("name", "capabilities", "copies"),
    [
        ("cpu", {}, False),
        ("cpu", {"avx512_bf16": True}, True),
        ("cpu", {"avx512_bf16": True, "amx_bf16": True}, False),
        ("cuda", {}, True),
        ("cuda", {"avx512_bf16": True, "amx_bf16": True}, True),
    ],
)
def test_factors_are_copied_unless_the_product_rounds_them(
    name: str, capabilities: dict[str, bool], copies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert device.copies_factors(torch.bfloat16, torch.device(name)) == copies
    assert not device.copies_factors(torch.float32, torch.device(name))


def test_memory_is_taken_in_huge_pages_unless_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE")
    importlib.reload(ffrepro)
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "1"
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    importlib.reload(ffrepro)
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "0"


_PAGE_FAULTS = """
import resource
import torch
from ffrepro.device import choose_device

def pages():
    for _ in range(10):
        kept = [torch.ones(5_000_000) for _ in range(6)]
        del kept
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

choose_device("cpu")
before = pages()
print(pages() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_tensors_reuse_freed_memory(python: Callable[..., "subprocess.CompletedProcess[str]"]) -> None:
    run = python("-c", _PAGE_FAULTS)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 1000  # of 300,000 pages that are written
