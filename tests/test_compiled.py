"""Steps compiled to touch memory once."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ffrepro import compiled
from ffrepro.weights import Dense


@pytest.fixture
def wanted() -> Iterator[None]:
    compiled.choose_compiled(True)
    yield
    compiled.choose_compiled(False)


def large(products: torch.dtype = torch.bfloat16) -> Dense:
    return Dense(torch.randn(600, 500, generator=torch.Generator().manual_seed(0)) / 25, products)


@pytest.mark.usefixtures("wanted")
def test_steps_are_compiled_where_tensors_are_large_and_there_is_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_at_hand", lambda: True)
    assert compiled.compiles(torch.empty(500, 500))
    assert not compiled.compiles(torch.empty(499, 500))
    assert not compiled.compiles(torch.empty(500, 500, device="meta"))
    monkeypatch.setattr(compiled, "_at_hand", lambda: False)
    assert not compiled.compiles(torch.empty(500, 500))


def test_steps_are_not_compiled_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_at_hand", lambda: True)
    compiled.choose_compiled(False)
    assert not compiled.compiles(torch.empty(500, 500))


def test_a_compiler_and_headers_have_to_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(compiled.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("CXX", "sh")
    assert compiled._at_hand.__wrapped__()
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not compiled._at_hand.__wrapped__()
    monkeypatch.setenv("CXX", "sh")
    (tmp_path / "Python.h").unlink()
    assert not compiled._at_hand.__wrapped__()


@pytest.mark.usefixtures("wanted")
@pytest.mark.skipif(not compiled._at_hand(), reason="needs a C++ compiler and Python's headers")
@pytest.mark.filterwarnings("default")  # of torch's compiler
def test_a_compiled_step_follows_the_formula() -> None:
    layer = large()
    weight, velocity = layer.weight.double(), layer.velocity.double()
    for step, (momentum, share, rate, cost) in enumerate([(0.9, 0.002, 0.1, 0.01), (0.9, 0.002, 0.05, 0.01)] * 2):
        generator = torch.Generator().manual_seed(step)
        source, delta = torch.randn(48, 600, generator=generator), torch.randn(48, 500, generator=generator)
        layer.learn(source, delta, share=share, momentum=momentum, rate=rate, weight_cost=cost)
        gradient = (source.bfloat16().double().t() @ delta.bfloat16().double()).float().bfloat16()
        velocity = momentum * velocity + share * gradient.double()
        weight = weight + rate * (velocity - cost * weight)
    # The gradient is rounded to 8 bits; a sum at the edge of two may fall to either.
    torch.testing.assert_close(layer.velocity.double(), velocity, rtol=0.01, atol=1e-4)
    torch.testing.assert_close(layer.weight.double(), weight, rtol=0, atol=1e-4)
    assert torch.equal(layer.rounded, layer.weight.bfloat16())


@pytest.mark.usefixtures("wanted")
def test_fp32_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "in_one_pass", None)
    layer = large(torch.float32)
    before = copy.deepcopy(layer.weight)
    layer.learn(torch.ones(2, 600), torch.ones(2, 500), share=1.0, momentum=0.0, rate=0.5, weight_cost=0.0)
    torch.testing.assert_close(layer.weight, before + 1.0)
