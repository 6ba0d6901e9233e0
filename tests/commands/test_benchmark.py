"""The measurements of the benchmark, on small nets and made-up data."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ffrepro import table
from ffrepro.architecture.vanilla_resnet import Pointwise
from ffrepro.commands import benchmark
from ffrepro.commands.benchmark import bare_products, cases, deep_nets, rows, started
from ffrepro.dataset import Dataset, Split
from ffrepro.errors import DataNotFoundError
from ffrepro.forward_forward.negatives import sample_wrong_label

CPU = torch.device("cpu")


def make_dataset(shape: tuple[int, ...], examples: int = 300) -> Dataset:
    inputs = torch.rand(examples, torch.Size(shape).numel(), generator=torch.Generator().manual_seed(0))
    split = Split(inputs, torch.arange(examples) % 10)
    return Dataset(
        name="made", train=split, validation=None, test=split, input_shape=shape, n_classes=10, sha256="0" * 64,
        stand_in=False,
    )  # fmt: skip


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Table 1's nets with 20 units a layer on made-up images."""

    def begin_row(*arguments: Any, **more: Any) -> Any:
        return started.begin_row(*arguments, "architecture.widths=[20,20]", **more)

    monkeypatch.setattr(rows, "begin_row", begin_row)
    monkeypatch.setattr(rows, "load_dataset", lambda experiment, device: make_dataset((28, 28)))


@pytest.mark.usefixtures("small")
def test_the_time_of_an_epoch_is_extrapolated_from_some_minibatches(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.2, 0.1] * 5)
    monkeypatch.setattr(rows, "seconds", lambda work, device: (work(), next(times))[1])
    text, values = rows.epoch(cases.Case("case", "table1/ff_supervised", 6000, (20, 20)), CPU, "fp32")
    # 20 of 60 minibatches.
    assert values["epoch_s"] == pytest.approx(0.6)
    assert values["bare_products_epoch_s"] == pytest.approx(0.3)
    assert text == "case: an epoch in 0.60 s, 2.00 times that of bare products and updates."


@pytest.mark.parametrize(("maps", "learned"), [(2, 0.5), (3, 1.0)])
def test_dense_masked_matrices_compute_every_product_of_the_net(
    maps: int, learned: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bare_products, "MAP_UNITS", 4)  # units
    work = bare_products.masked(maps, learned, CPU, torch.float32, 2)
    with FlopCounterMode(display=False) as counted:
        work()
    # All matrices are 4 × 4. A bottom-up pass takes 100 images through each map. Ten iterations of both phases use each
    # matrix but the image's. Each matrix has a gradient; the image's covers a single iteration.
    matrices = 2 * maps - 1
    rows_multiplied = 100 * maps + 10 * 200 * (matrices - 1) + 200 + round(learned * 2000) * (matrices - 1)
    assert counted.get_total_flops() == 2 * 2 * rows_multiplied * 4 * 4


@pytest.mark.usefixtures("small")
def test_the_share_that_layers_learn_from_is_counted() -> None:
    algorithm = rows.begin_row("table1/ff_recurrent", CPU, "fp32", make_dataset((28, 28)))

    def share(threshold: float) -> float:
        for layer in algorithm.layers:
            layer.threshold.fill_(threshold)
        return rows.learned_share(algorithm, algorithm.train)

    # Far below every goodness, positive data are told apart and negative data are not; far above, the reverse.
    assert share(-1e6) == pytest.approx(0.5)
    assert share(1e6) == pytest.approx(0.5)
    # In between, compare with drawn labels: a factor is kept above eps², 31.9 nats from the threshold.
    goodness, targets = algorithm.goodness_of_labels(algorithm.train), algorithm.train.targets
    threshold = float(goodness.median()) - 30
    generator = torch.Generator().manual_seed(0)
    kept = []
    for _ in range(20):
        wrong = sample_wrong_label(algorithm.logits(algorithm.train), targets, generator)
        positive, negative = (goodness[:, :, range(len(targets)), labels] for labels in (targets, wrong))
        kept += [positive - threshold < 31.9, threshold - negative < 31.9]
    expected = float(torch.stack(kept).float().mean())
    assert 0.6 < expected < 0.9
    assert share(threshold) == pytest.approx(expected, abs=0.01)


@pytest.mark.usefixtures("small")
def test_the_hybrids_of_an_epoch_are_made_minibatch_by_minibatch(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    make = rows.hybrid_images
    monkeypatch.setattr(
        rows, "hybrid_images", lambda images, *more: (sizes.append(len(images)), make(images, *more))[1]
    )
    monkeypatch.setattr(rows, "seconds", lambda work, device: (work(), 0.25)[1])
    text, values = rows.hybrids(CPU, "fp32")
    images = values["images"]
    assert images == len(make_dataset((28, 28)).train) // 100 * 100 > 0
    assert sizes == [100] * (images // 100 * (1 + rows.ROUNDS))  # the first round is not timed
    assert (text, values["seconds"]) == (f"Hybrid images, 6 blurs, {images} images: 0.25 s.", 0.25)


def test_a_net_writes_from_the_beginning_of_every_string(monkeypatch: pytest.MonkeyPatch) -> None:
    class Algorithm:
        calls = 0

        class train:  # noqa: N801
            strings = torch.tensor([0, 0, 0, 1, 1, 1])

            def __len__(self) -> int:
                return 6

        train = train()  # type: ignore[assignment, misc]

        def dreams(self) -> None:
            self.calls += 1

    algorithm = Algorithm()
    monkeypatch.setattr(rows, "begin_row", lambda *_: algorithm)
    monkeypatch.setattr(rows, "load_dataset", lambda *_: None)
    text, values = rows.roll_outs(CPU, "fp32")
    assert text.startswith("Roll-outs of 2 strings, 3 characters each: ")
    assert algorithm.calls == 4
    assert values["seconds"] >= 0


def test_deep_nets_are_compared_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    precisions: set[str] = set()

    def begin_row(experiment: str, device: torch.device, precision: str, *more: Any) -> Any:
        precisions.add(precision)
        return started.begin_row(
            experiment, device, precision, *more, "architecture.width=4", "algorithm.augmentation.size=16"
        )

    monkeypatch.setattr(deep_nets, "begin_row", begin_row)
    monkeypatch.setattr(deep_nets, "load_dataset", lambda *_: make_dataset((20, 20, 3), 200))
    monkeypatch.setattr(deep_nets, "STEPS", 1)
    # In the order of the nets: of 32, 64, 64, 32 and 32 images.
    times = iter([0.32, 1.28, 0.32, 1.28, 0.64] * 5)
    monkeypatch.setattr(deep_nets, "seconds", lambda work, device: (work(), next(times))[1])
    text, values = deep_nets.images_per_second(50, CPU, "bf16")
    assert values["batch_size"] == {
        "sgd": 32, "kfac": 64, "sgd_in_batches_of_kfac": 64, "sgd_in_fp32": 32, "sgd_convolved": 32,
    }  # fmt: skip
    assert {name: round(speed) for name, speed in values["images_per_s"].items()} == {
        "sgd": 100, "kfac": 50, "sgd_in_batches_of_kfac": 200, "sgd_in_fp32": 25, "sgd_convolved": 50,
    }  # fmt: skip
    assert values["kfac_takes_times"] == pytest.approx({"sgd": 2.0, "sgd_in_batches_of_kfac": 4.0})
    assert "100 by SGD (25 in fp32, 50 with torch's" in text
    assert precisions == {"fp32", "bf16"}


def test_convolutions_replace_matrix_products_and_keep_their_parameters() -> None:
    algorithm = started.begin_row(
        "table4/sgd_trelu_50",
        CPU,
        "fp32",
        make_dataset((20, 20, 3), 64),
        "architecture.width=4",
        "algorithm.augmentation.size=16",
    )
    images = torch.rand(2, 16 * 16 * 3)
    before, parameters = algorithm.outputs(images), dict(algorithm.net.named_parameters())
    assert any(isinstance(module, Pointwise) for module in algorithm.net.modules())
    deep_nets.use_convolutions(algorithm.net)
    assert not any(isinstance(module, Pointwise) for module in algorithm.net.modules())
    torch.testing.assert_close(algorithm.outputs(images), before)
    assert {name: id(value) for name, value in algorithm.net.named_parameters()} == {
        name: id(value) for name, value in parameters.items()
    }


def test_parts_are_written_as_they_are_measured_and_cases_without_data_are_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(*_: object) -> Any:
        raise DataNotFoundError("no such data")

    def stopped(*_: object) -> Any:
        raise KeyboardInterrupt

    def measured(number: int, *_: object) -> tuple[str, dict[str, int]]:
        return f"It is {number}.", {"number": number}

    parts = {"one": [partial(measured, 1), missing, partial(measured, 2)], "two": [missing], "three": [stopped]}
    monkeypatch.setattr(benchmark, "PARTS", parts)
    output = ["--output", str(tmp_path), "--device", "cpu"]
    assert benchmark.main([*output, "--parts", "one,two"]) == 2
    printed = capsys.readouterr()
    assert printed.out.index("It is 1.") < printed.out.index("It is 2.")
    assert printed.err == "benchmark: left out of one: no such data\nbenchmark: left out of two: no such data\n"
    content = json.loads((tmp_path / "one.json").read_text())
    assert content["measured"] == [{"number": 1}, {"number": 2}]
    assert content["environment"]["precision"] in ("fp32", "bf16")
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]

    assert benchmark.main([*output, "--parts", "three"]) == 130
    assert capsys.readouterr().err.startswith("benchmark: stopped.")
    assert benchmark.main([*output, "--parts", "four"]) == 2
    assert capsys.readouterr().err == "benchmark: PARTS has 'four': expected some of one,two,three.\n"


def test_every_part_measures_presets_that_are_there() -> None:
    experiments = {case.experiment for case in cases.CASES}
    assert {row.experiment for row in table.load("table1").rows} <= experiments
    assert {"table2/ff_max_ssq_2", "table2/ff_max_ssq_3", "table2/bp_2"} <= experiments
    assert {case.experiment: case.maps for case in cases.CASES if case.maps} == {
        "table2/ff_max_ssq_2": 2, "table2/ff_max_ssq_3": 3,
    }  # fmt: skip
    assert [case.experiment for case in cases.MEMORY_CASES] == ["table1/ff_supervised", "table2/ff_max_ssq_3"]
