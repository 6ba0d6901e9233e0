"""The weight update of the released code, by hand and against torch's SGD."""

import torch

from ffrepro.forward_forward.weights import momentum_step


def test_a_step_is_the_formula_in_place() -> None:
    weight, velocity = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 0.25])
    momentum_step(weight, velocity, 0.1, 0.01)
    torch.testing.assert_close(weight, torch.tensor([1 + 0.1 * (0.5 - 0.01), -2 + 0.1 * (0.25 + 0.02)]))
    momentum_step(weight, velocity, 0.1, 0.0)
    torch.testing.assert_close(weight, torch.tensor([1.049 + 0.05, -1.973 + 0.025]))


def test_many_steps_equal_torchs_sgd_with_decoupled_weight_decay() -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(5, generator=generator, dtype=torch.float64)
    weight, velocity = start.clone(), torch.zeros(5, dtype=torch.float64)
    reference = start.clone().requires_grad_()
    sgd = torch.optim.SGD([reference], lr=0.001, momentum=0.9)
    for _ in range(20):
        gradient = torch.randn(5, generator=generator, dtype=torch.float64)
        velocity.mul_(0.9).add_(gradient, alpha=0.1)
        momentum_step(weight, velocity, 0.01, 0.001)
        with torch.no_grad():
            reference.mul_(1 - 1e-5)
        reference.grad = -gradient
        sgd.step()
    torch.testing.assert_close(weight, reference.detach(), rtol=0, atol=1e-12)


def test_a_step_of_a_large_matrix_leaves_its_velocity_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, velocity = (torch.randn(1000, 37, generator=generator) for _ in range(2))
    expected, before = weight.double() + 0.5 * (velocity.double() - 0.3 * weight.double()), velocity.clone()
    momentum_step(weight, velocity, 0.5, 0.3)
    torch.testing.assert_close(weight.double(), expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(velocity, before)
