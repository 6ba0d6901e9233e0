"""Length normalization and hidden layers against closed forms and NumPy."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from ffrepro.errors import UserError
from ffrepro.forward_forward.connections import Connections
from ffrepro.forward_forward.goodness import (
    Goodness,
    MeanOfSquares,
    MinusSumOfActivities,
    MinusSumOfSquares,
    SumOfActivities,
    SumOfSquares,
)
from ffrepro.forward_forward.layers import (
    HiddenLayer,
    LayerOptions,
    first_that_counts,
    forward,
    hidden_layers,
    over_threshold,
    significant,
)
from ffrepro.forward_forward.passes import Pass, normalize
from ffrepro.forward_forward.weights import Dense


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_normalized_rows_have_a_root_mean_square_of_1() -> None:
    torch.testing.assert_close(normalize(torch.tensor([[3.0, 4.0]])), torch.tensor([[3.0, 4.0]]) / 12.5**0.5)
    rows = normalize(random(7, 50) * 1000)
    torch.testing.assert_close(rows.square().mean(1), torch.ones(7, dtype=torch.float64))


def test_normalizing_keeps_the_direction_and_drops_the_length() -> None:
    rows = random(7, 50)
    torch.testing.assert_close(normalize(rows), normalize(12.0 * rows))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_of_zeros_stays_zero(dtype: torch.dtype) -> None:
    rows = normalize(torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], dtype=dtype))
    assert torch.equal(rows[0], torch.zeros(3, dtype=dtype))
    assert rows.isfinite().all()


def test_factors_above_rounding_error_are_significant() -> None:
    factors = torch.tensor([0.5, 1e-30, 1.0, 1e-20, 0.001, 1e-9])
    kept = significant(factors)
    assert kept is not None
    assert {0, 2, 4, 5} <= set(kept.tolist())
    assert len(set(kept.tolist())) == len(kept)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dropping_insignificant_examples_changes_no_update(dtype: torch.dtype) -> None:
    # Factors from 1 to 1e-40, as after some epochs: the layer is sure of most examples.
    n = 400
    factors = torch.logspace(0, -40, n, dtype=torch.float64)[
        torch.randperm(n, generator=torch.Generator().manual_seed(0))
    ]
    below, activities = random(n, 30, seed=1), random(n, 20, seed=2).relu()
    full = below.t() @ (factors[:, None] * activities)
    kept = significant(factors.to(dtype))
    assert kept is not None
    assert len(kept) < 0.9 * n  # some examples were dropped
    partial = below[kept].t() @ (factors[kept, None] * activities[kept])
    assert (partial - full).abs().max() <= 8 * torch.finfo(dtype).eps * full.abs().max()


def test_nothing_is_significant_where_all_factors_are_0() -> None:
    kept = significant(torch.zeros(100))
    assert kept is not None
    assert len(kept) == 0
    assert significant(torch.ones(100)) is None  # all of them
    assert significant(torch.ones(7)) is None


LR_FACTOR = 0.5

# HiddenLayer ---------------------------------------------------------------------------------------


def options(goodness: Goodness | None = None, *, threshold: float = 1.0, momentum: float = 0.9) -> LayerOptions:
    """Hyperparameters, to be used with `lr_factor=LR_FACTOR`: a learning rate of 0.3."""
    return LayerOptions(
        goodness=goodness or SumOfSquares(),
        threshold=threshold,
        learning_rate=0.6,
        momentum=momentum,
        weight_cost=0.02,
        peer_normalization=0.03,
    )


def hidden(
    goodness: Goodness | None = None, *, fan_in: int = 12, width: int = 8, threshold: float = 1.0, momentum: float = 0.9
) -> HiddenLayer:
    connections = Connections(Dense(random(fan_in, width) / fan_in**0.5, torch.float64))
    return HiddenLayer(connections, options(goodness, threshold=threshold, momentum=momentum))


def nine(layer: HiddenLayer, seed: int) -> Pass:
    """A pass on nine random examples."""
    below = normalize(random(9, 12, seed=seed))
    return Pass(layer(below), (below,))


def losses_of_nine(layer: HiddenLayer, seed: int, sign: float) -> np.ndarray:
    """-log of the probability of the right side of the threshold, for nine positive (`sign` 1) or negative data."""
    activities, _ = nine(layer, seed)
    margin = (layer.goodness(activities) - layer.threshold).numpy()
    return np.log1p(np.exp(-sign * margin))


@pytest.mark.parametrize(
    ("goodness", "of_ones"),
    [
        (SumOfSquares(), 8.0),
        (MinusSumOfSquares(), -8.0),
        (MeanOfSquares(), 1.0),
        (SumOfActivities(), 8.0),
        (MinusSumOfActivities(), -8.0),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("threshold", [1.0, 2.5])
def test_the_threshold_is_theta_times_the_goodness_of_ones(
    goodness: Goodness, of_ones: float, threshold: float
) -> None:
    layer = hidden(goodness, threshold=threshold)
    assert layer.threshold.dtype == torch.float64
    assert layer.threshold.item() == threshold * of_ones
    assert goodness(torch.ones(1, 8)).item() == pytest.approx(of_ones)


def test_every_running_mean_starts_at_a_half() -> None:
    assert torch.equal(hidden().running_mean, torch.full((8,), 0.5, dtype=torch.float64))


@pytest.mark.parametrize("momentum", [0.9, 0.6])
def test_learning_follows_the_formula(momentum: float) -> None:
    layer = hidden(momentum=momentum)
    W, b, m = layer.connections.sources[0].weight.numpy().copy(), np.zeros(8), np.full(8, 0.5)  # noqa: N806
    vW, vb = np.zeros_like(W), np.zeros_like(b)  # noqa: N806
    for step in range(4):
        (yp, (xp,)), (yn, (xn,)) = nine(layer, 10 + step), nine(layer, 20 + step)
        loss = layer.learn([Pass(yp, (xp,))], [Pass(yn, (xn,))], lr_factor=LR_FACTOR)
        xp, xn = xp.numpy(), xn.numpy()
        yp, yn = np.maximum(0, xp @ W + b), np.maximum(0, xn @ W + b)
        pp, pn = (1 / (1 + np.exp(-((y**2).sum(1) - 8.0))) for y in (yp, yn))
        assert loss.item() == pytest.approx((-np.log(pp) - np.log(1 - pn)).mean(), rel=1e-10)
        m = 0.9 * m + 0.1 * yp.mean(0)
        dp = (1 - pp)[:, None] * yp + 0.03 * (m.mean() - m)
        dn = -pn[:, None] * yn
        vW = momentum * vW + (1 - momentum) * (xp.T @ dp + xn.T @ dn) / 9  # noqa: N806
        vb = momentum * vb + (1 - momentum) * (dp.sum(0) + dn.sum(0)) / 9
        W = W + 0.3 * (vW - 0.02 * W)  # noqa: N806
        b = b + 0.3 * vb
    np.testing.assert_allclose(layer.connections.sources[0].weight, W, rtol=0, atol=1e-12)
    np.testing.assert_allclose(layer.connections.bias, b, rtol=0, atol=1e-12)
    np.testing.assert_allclose(layer.running_mean, m, rtol=0, atol=1e-12)
    assert layer.threshold.item() == 8.0  # fixed by default
    assert np.abs(vW).max() > 1e-3  # the weights did change


def test_learning_from_positive_or_negative_data_alone_follows_the_formula() -> None:
    layer = hidden()
    W, b, m = layer.connections.sources[0].weight.numpy().copy(), np.zeros(8), np.full(8, 0.5)  # noqa: N806
    vW, vb = np.zeros_like(W), np.zeros_like(b)  # noqa: N806
    for step, sign in enumerate((1, -1, -1, 1, -1)):
        activities, (x,) = nine(layer, 10 + step)
        data = Pass(activities[: 9 - step], (x[: 9 - step],))  # a different size in each step
        passes = ([data], []) if sign > 0 else ([], [data])
        loss = layer.learn(*passes, lr_factor=LR_FACTOR)
        x = data.inputs[0].numpy()
        y = np.maximum(0, x @ W + b)
        p = 1 / (1 + np.exp(-((y**2).sum(1) - 8.0)))
        if sign > 0:
            assert loss.item() == pytest.approx(-np.log(p).mean(), rel=1e-10)
            m = 0.9 * m + 0.1 * y.mean(0)
            delta = (1 - p)[:, None] * y + 0.03 * (m.mean() - m)
        else:
            assert loss.item() == pytest.approx(-np.log(1 - p).mean(), rel=1e-10)
            delta = -p[:, None] * y  # no peer normalization
        vW = 0.9 * vW + 0.1 * x.T @ delta / len(x)  # noqa: N806
        vb = 0.9 * vb + 0.1 * delta.mean(0)
        W = W + 0.3 * (vW - 0.02 * W)  # noqa: N806
        b = b + 0.3 * vb
        np.testing.assert_allclose(layer.connections.sources[0].weight, W, rtol=0, atol=1e-12)
        np.testing.assert_allclose(layer.connections.bias, b, rtol=0, atol=1e-12)
        np.testing.assert_allclose(layer.running_mean, m, rtol=0, atol=1e-12)
    assert layer.threshold.item() == 8.0
    assert np.abs(vW).max() > 1e-3  # the weights did change


@pytest.mark.parametrize("turn", ["both", "both alike", "positive", "negative"])
@pytest.mark.parametrize("weight_factor", [1.0, 4.0], ids=["all significant", "positive data told apart"])
def test_a_tensor_shared_by_several_passes_counts_in_each(turn: str, weight_factor: float) -> None:
    layers = []
    for _ in range(2):
        below, same = (weight_factor * random(n, 8, seed=n) / n**0.5 for n in (12, 5))
        sources = Dense(below, torch.float64), Dense(same, torch.float64)
        layers.append(HiddenLayer(Connections(*sources), options()))
    repeating, whole = layers
    losses: list[float] = []
    for step in range(3):
        # Four passes of three examples. The inputs from below differ; those of the other source are shared.
        sides = []
        alike = normalize(random(3, 5, seed=step))
        for seed in (10 + step, 20 + step):
            below, same = normalize(random(12, 12, seed=seed)), normalize(random(3, 5, seed=seed))
            if turn == "both alike":
                same = alike
            activities = whole.connections(below, same.repeat(4, 1))
            kept = significant(torch.sigmoid(whole.threshold - whole.goodness(activities)))
            assert kept is None if weight_factor == 1.0 else kept is not None and 0 < len(kept) < 12
            parts = zip(activities.split(3), below.split(3), strict=True)
            sides.append(([Pass(y, (x, same)) for y, x in parts], [Pass(activities, (below, same.repeat(4, 1)))]))
        kinds = [kind if turn in ("both", "both alike", kind) else None for kind in ("positive", "negative")]
        for layer, k in ((repeating, 0), (whole, 1)):
            passes = (side[k] if kind else [] for side, kind in zip(sides, kinds, strict=True))
            losses.append(layer.learn(*passes, lr_factor=LR_FACTOR, threshold_lr=0.1).item())
        assert losses[-1] == pytest.approx(losses[-2], rel=1e-12)
        assert repeating.threshold.item() == pytest.approx(whole.threshold.item(), rel=1e-12)
        torch.testing.assert_close(repeating.running_mean, whole.running_mean, rtol=0, atol=1e-12)
        for shared, repeated in zip(repeating.connections.sources, whole.connections.sources, strict=True):
            torch.testing.assert_close(shared.weight, repeated.weight, rtol=0, atol=1e-12)
        torch.testing.assert_close(repeating.connections.bias, whole.connections.bias, rtol=0, atol=1e-12)


def test_keeping_all_examples_as_on_a_gpu_gives_the_same_update(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = hidden(), hidden()
    kept: list[Tensor | None] = []
    for layer, of_all in zip(layers, (False, True), strict=True):

        def chosen(factors: Tensor, of_all: bool = of_all) -> Tensor | None:
            kept.append(None if of_all else significant(factors))
            return kept[-1]

        monkeypatch.setattr("ffrepro.forward_forward.layers.significant", chosen)
        for step in range(3):
            (y, (x,)), (other, (below,)) = nine(layer, step), nine(layer, 10 + step)
            # Three passes. Two share their inputs, and in one of them the layer is sure of its data.
            layer.learn(
                [Pass(y, (x,)), Pass(10 * y, (x,))], [Pass(other, (below,))], lr_factor=LR_FACTOR, threshold_lr=0.1
            )
    assert min(len(rows) for rows in kept[:9] if rows is not None) < 9
    assert kept[9:] == [None] * 9
    some, every = layers
    weights = [layer.connections.sources[0].weight for layer in layers]
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=1e-12)
    torch.testing.assert_close(some.connections.bias, every.connections.bias, rtol=0, atol=1e-12)
    torch.testing.assert_close(some.running_mean, every.running_mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(some.threshold, every.threshold, rtol=0, atol=1e-12)


def test_several_passes_equal_a_single_pass_on_all_their_data() -> None:
    parted, whole = hidden(), hidden()
    for step in range(3):
        sides = [nine(whole, 10 + step), nine(whole, 20 + step)]
        passes = []
        for (y, (x,)), sizes in zip(sides, ([5, 3, 1], [2, 7]), strict=True):
            passes.append([Pass(a, (b,)) for a, b in zip(y.split(sizes), x.split(sizes), strict=True)])
        losses = (
            parted.learn(*passes, lr_factor=LR_FACTOR, threshold_lr=0.1),
            whole.learn(*([side] for side in sides), lr_factor=LR_FACTOR, threshold_lr=0.1),
        )
        torch.testing.assert_close(*losses, rtol=1e-12, atol=0)
    split, joined = parted.connections, whole.connections
    torch.testing.assert_close(split.sources[0].weight, joined.sources[0].weight, rtol=0, atol=1e-12)
    torch.testing.assert_close(split.bias, joined.bias, rtol=0, atol=1e-12)
    torch.testing.assert_close(parted.running_mean, whole.running_mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(parted.threshold, whole.threshold, rtol=0, atol=1e-12)


def test_a_tensor_shared_by_several_passes_is_multiplied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    monkeypatch.setattr(Dense, "learn", lambda _, source, delta, **rest: rows.append(len(source)))
    layer = hidden()
    below = normalize(random(20, 12))
    for passes in (5, 1):
        layer.learn(
            [Pass(layer(below), (below,))] * passes, [Pass(layer(below), (below,))] * passes, lr_factor=LR_FACTOR
        )
    apart = [Pass(layer(below), (below.clone(),)) for _ in range(5)]
    layer.learn(apart, [], lr_factor=LR_FACTOR)
    assert rows == [32, 32, 128]  # 20 or 100 examples, and a row for peer normalization, padded


@pytest.mark.parametrize("size", [1, 20, 40])
def test_matrices_are_padded_to_multiples_of_32_rows(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []

    def spy(layer: Dense, source: Tensor, delta: Tensor, **rest: float) -> None:
        sizes.append((len(source), len(delta)))

    monkeypatch.setattr(Dense, "learn", spy)
    layer = hidden()
    below = normalize(random(size, 12))
    layer.learn([Pass(layer(below), (below,))], [Pass(layer(below), (below.clone(),))], lr_factor=LR_FACTOR)
    rows = {1: 32, 20: 64, 40: 96}[size]  # both kinds of data and a row for peer normalization, padded
    assert sizes == [(rows, rows)]


@pytest.mark.parametrize("kind", ["both", "negative", "negative, all insignificant"])
def test_padding_rows_are_zeros(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "new_empty", lambda like, *shape: like.new_full(shape, torch.nan))
    layer = hidden()
    positive, negative = nine(layer, 1), nine(layer, 2)
    if kind.endswith("insignificant"):
        negative = Pass(0 * negative.activities, negative.inputs)
        layer.threshold.fill_(1000.0)
    layer.learn([positive] if kind == "both" else [], [negative], lr_factor=LR_FACTOR)
    assert layer.connections.sources[0].weight.isfinite().all()


def test_a_source_may_share_some_tensors_and_not_others() -> None:
    layers = hidden(), hidden()
    for step in range(3):
        y, (x,) = nine(layers[0], step)
        other, (below,) = nine(layers[0], 10 + step)
        for layer, again in zip(layers, (x, x.clone()), strict=True):
            layer.learn([Pass(y, (x,)), Pass(2 * y, (again,))], [Pass(other, (below,))], lr_factor=LR_FACTOR)
    shared, copied = (layer.connections.sources[0].weight for layer in layers)
    torch.testing.assert_close(shared, copied, rtol=0, atol=1e-12)
    assert (shared - hidden().connections.sources[0].weight).abs().max() > 1e-3  # the weights did change


def test_peer_normalization_acts_on_positive_data_alone() -> None:
    changes = {}
    for peer in (0.0, 0.5):
        for sign in (1, -1):
            layer = hidden()
            layer.options.peer_normalization = peer
            data = [nine(layer, 1)]
            layer.learn(*((data, []) if sign > 0 else ([], data)), lr_factor=LR_FACTOR)
            changes[peer, sign] = layer.connections.sources[0].weight.clone()
            assert torch.equal(layer.running_mean, hidden().running_mean) == (sign < 0)
    assert torch.equal(changes[0.0, -1], changes[0.5, -1])
    assert (changes[0.0, 1] - changes[0.5, 1]).abs().max() > 1e-4


def test_positive_data_lower_the_threshold_and_negative_data_raise_it() -> None:
    for sign, seed in ((1, 1), (-1, 2)):
        layer = hidden(threshold=0.7)
        start = layer.threshold.item()
        share = (1 - np.exp(-losses_of_nine(layer, seed, sign))).mean()  # the probability of an error
        data = [nine(layer, seed)]
        layer.learn(*((data, []) if sign > 0 else ([], data)), lr_factor=LR_FACTOR, threshold_lr=0.25)
        assert layer.threshold.item() - start == pytest.approx(-sign * 0.25 * share, rel=1e-9)


@pytest.mark.parametrize(
    "goodness",
    [SumOfSquares(), MinusSumOfSquares(), MeanOfSquares(), SumOfActivities(), MinusSumOfActivities()],
    ids=lambda goodness: type(goodness).__name__,
)
def test_learning_lowers_the_loss(goodness: Goodness) -> None:
    layer = hidden(goodness)
    layer.options.peer_normalization = layer.options.weight_cost = 0.0
    before = [losses_of_nine(layer, 1, 1.0).mean(), losses_of_nine(layer, 2, -1.0).mean()]
    losses = [layer.learn([nine(layer, 1)], [nine(layer, 2)], lr_factor=LR_FACTOR).item() for _ in range(40)]
    assert losses[0] == pytest.approx(sum(before), rel=1e-10)
    assert losses[-1] < 0.9 * losses[0]
    assert losses[-1] < losses[20] < losses[0]


def test_the_threshold_moves_by_the_difference_of_the_error_probabilities() -> None:
    layer = hidden(threshold=0.7)
    start = layer.threshold.item()
    missed = 1 - np.exp(-losses_of_nine(layer, 1, 1.0))
    fooled = 1 - np.exp(-losses_of_nine(layer, 2, -1.0))
    layer.learn([nine(layer, 1)], [nine(layer, 2)], lr_factor=LR_FACTOR, threshold_lr=0.25)
    assert layer.threshold.item() - start == pytest.approx(0.25 * (fooled.mean() - missed.mean()), rel=1e-9)
    assert abs(layer.threshold.item() - start) > 1e-3


def test_a_hidden_layer_resumes_from_its_state() -> None:
    def step(layer: HiddenLayer, seed: int) -> None:
        layer.learn([nine(layer, seed)], [nine(layer, seed + 1)], lr_factor=LR_FACTOR, threshold_lr=0.1)

    layer, resumed = hidden(), hidden(threshold=3.0)
    step(layer, 1)
    state = copy.deepcopy(layer.state_dict())
    step(resumed, 5)  # its earlier state must not matter
    resumed.load_state_dict(state)
    for each in (layer, resumed):
        step(each, 3)
    assert torch.equal(resumed.connections.sources[0].weight, layer.connections.sources[0].weight)
    assert torch.equal(resumed.connections.bias, layer.connections.bias)
    assert torch.equal(resumed.running_mean, layer.running_mean)
    assert torch.equal(resumed.threshold, layer.threshold)


def test_only_directions_pass_to_the_next_layer() -> None:
    layers = [hidden(), hidden(fan_in=8, width=30)]
    for layer in layers:
        layer.connections.bias.copy_(random(layer.connections.width, seed=4))
    images = random(6, 12, seed=3)
    passes, outputs = forward(layers, images)
    assert [tuple(layer_pass.activities.shape) for layer_pass in passes] == [(6, 8), (6, 30)]
    assert [tuple(output.shape) for output in outputs] == [(6, 8), (6, 30)]
    for row in range(6):
        below = images[row].numpy()
        below = below / np.sqrt((below**2).mean())
        for layer, (activities, (inputs,)), output in zip(layers, passes, outputs, strict=True):
            np.testing.assert_allclose(inputs[row], below, rtol=0, atol=1e-9)
            y = np.maximum(0, below @ layer.connections.sources[0].weight.numpy() + layer.connections.bias.numpy())
            np.testing.assert_allclose(activities[row], y, rtol=0, atol=1e-9)
            below = y / np.sqrt((y**2).mean())
            np.testing.assert_allclose(output[row], below, rtol=0, atol=1e-9)
    for brighter, layer_pass in zip(forward(layers, 7.0 * images)[0], passes, strict=True):
        torch.testing.assert_close(brighter.activities, layer_pass.activities)


def test_a_part_of_a_pass_has_these_examples_alone() -> None:
    layer = hidden()
    whole = nine(layer, 1)
    part = whole.part(slice(2, 5))
    assert torch.equal(part.activities, whole.activities[2:5])
    assert torch.equal(part.inputs[0], whole.inputs[0][2:5])


def test_the_first_layer_that_counts() -> None:
    single, double = [hidden()], [hidden(), hidden()]
    assert first_that_counts(single, True) == first_that_counts(double, True) == 0
    assert first_that_counts(double, False) == 1
    with pytest.raises(UserError, match=r"^a net of one hidden layer needs algorithm\.first_layer_counts=true"):
        first_that_counts(single, False)


def test_goodness_over_threshold() -> None:
    layers = [hidden(threshold=2.0), hidden(MinusSumOfSquares(), fan_in=8, width=5)]
    goodness = torch.tensor([[128.0, 64.0, 0.0], [-45.0, -5.0, 0.0]], dtype=torch.float64)
    expected = torch.tensor([[8.0, 4.0, 0.0], [-9.0, -1.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(over_threshold(layers, goodness), expected)
    deeper = goodness.view(2, 1, 3).expand(2, 4, 3)
    torch.testing.assert_close(over_threshold(layers, deeper), expected.view(2, 1, 3).expand(2, 4, 3))
    layers[0].threshold.zero_()
    assert over_threshold(layers, goodness)[0, 2] == 0  # not 0 / 0


@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_an_impossible_momentum_is_refused(momentum: float) -> None:
    connections = Connections(Dense(random(3, 2), torch.float64))
    assert hidden_layers([connections], options(momentum=0.0))[0].connections is connections
    with pytest.raises(UserError, match=rf"algorithm\.momentum is {momentum}: expected 0 to less than 1\.$"):
        hidden_layers([connections], options(momentum=momentum))
