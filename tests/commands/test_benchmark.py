"""The benchmarks measure what they say; the nets are small and the data made up."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ffrepro import table
from ffrepro.commands import benchmark
from ffrepro.commands.benchmark import bare_products, deep_nets, rows, started
from ffrepro.dataset import Dataset, Split
from ffrepro.errors import DataNotFoundError
from ffrepro.forward_forward import layers
from ffrepro.forward_forward.layers import significant

CPU = torch.device("cpu")


def made(shape: tuple[int, ...], examples: int = 300) -> Dataset:
    inputs = torch.rand(examples, torch.Size(shape).numel(), generator=torch.Generator().manual_seed(0))
    split = Split(inputs, torch.arange(examples) % 10)
    return Dataset(
        name="made", train=split, validation=None, test=split, input_shape=shape, n_classes=10, sha256="0" * 64,
        stand_in=False,
    )  # fmt: skip


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Table 1's nets with 20 units a layer on made images."""

    def begun(*arguments: Any, **more: Any) -> Any:
        return started.begun(*arguments, "architecture.widths=[20,20]", **more)

    monkeypatch.setattr(rows, "begun", begun)
    monkeypatch.setattr(rows, "loaded", lambda experiment, device: made((28, 28)))


@pytest.mark.usefixtures("small")
def test_an_epoch_is_some_minibatches_times_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([0.2, 0.1] * 5)
    monkeypatch.setattr(rows, "seconds", lambda work, device: (work(), next(taken))[1])
    said, found = rows.epoch(rows.Case("case", "table1/ff_supervised", 6000, (20, 20)), CPU, "fp32")
    # 20 of 60 minibatches.
    assert found["epoch_s"] == pytest.approx(0.6)
    assert found["bare_products_epoch_s"] == pytest.approx(0.3)
    assert said == "case: an epoch in 0.60 s, 2.00 times that of bare products and updates."


@pytest.mark.parametrize(("maps", "learned"), [(2, 0.5), (3, 1.0)])
def test_dense_masked_matrices_compute_what_the_net_has_to(
    maps: int, learned: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bare_products, "_MAP", 4)  # units
    work = bare_products.masked(maps, learned, CPU, torch.float32, 2)
    with FlopCounterMode(display=False) as counted:
        work()
    # Of matrices between 4 and 4 units: one bottom-up pass of 100 images through each map; in 10 iterations, of both
    # phases, each matrix but the image's; and a gradient of each, of the image's over both phases once.
    matrices = 2 * maps - 1
    rows_multiplied = 100 * maps + 10 * 200 * (matrices - 1) + 200 + round(learned * 2000) * (matrices - 1)
    assert counted.get_total_flops() == 2 * 2 * rows_multiplied * 4 * 4


@pytest.mark.usefixtures("small")
def test_the_share_that_layers_learn_from_is_counted() -> None:
    algorithm = rows.begun("table1/ff_supervised", CPU, "fp32", made((28, 28)))

    def share(threshold: float) -> float:
        for layer in algorithm.layers:
            layer.threshold.fill_(threshold)
        return rows._learned(lambda: algorithm.train_epoch(1))

    # Far below every goodness positive data are told apart wholly, negative ones not at all: half is kept.
    assert share(-1e6) == 0.5
    assert layers.significant is significant


@pytest.mark.usefixtures("small")
def test_the_hybrids_of_an_epoch_are_made_minibatch_by_minibatch(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    make = rows.hybrid_images
    monkeypatch.setattr(
        rows, "hybrid_images", lambda images, *more: (sizes.append(len(images)), make(images, *more))[1]
    )
    monkeypatch.setattr(rows, "seconds", lambda work, device: (work(), 0.25)[1])
    said, found = rows.hybrids(CPU, "fp32")
    images = found["images"]
    assert images == len(made((28, 28)).train) // 100 * 100 > 0
    assert sizes == [100] * (images // 100 * (1 + rows.ROUNDS))  # the first are not timed
    assert (said, found["seconds"]) == (f"Hybrid images, 6 blurs, {images} images: 0.25 s.", 0.25)


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
    monkeypatch.setattr(rows, "begun", lambda *_: algorithm)
    monkeypatch.setattr(rows, "loaded", lambda *_: None)
    said, found = rows.roll_outs(CPU, "fp32")
    assert said.startswith("Roll-outs of 2 strings, 3 characters each: ")
    assert algorithm.calls == 4
    assert found["seconds"] >= 0


def test_deep_nets_are_compared_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    precisions: set[str] = set()

    def begun(experiment: str, device: torch.device, precision: str, *more: Any) -> Any:
        precisions.add(precision)
        return started.begun(experiment, device, precision, *more, "architecture.width=4", "algorithm.crop=16")

    monkeypatch.setattr(deep_nets, "begun", begun)
    monkeypatch.setattr(deep_nets, "loaded", lambda *_: made((20, 20, 3), 200))
    monkeypatch.setattr(deep_nets, "_STEPS", 1)
    # In the order of the nets: of 32, 64, 64, 32 and 32 images.
    times = [0.32, 1.28, 0.32, 1.28, 0.64]
    taken = iter(times * 5)
    monkeypatch.setattr(deep_nets, "seconds", lambda work, device: (work(), next(taken))[1])
    said, found = deep_nets.images_per_second(50, CPU, "bf16")
    assert found["batch_size"] == {
        "sgd": 32, "kfac": 64, "sgd_in_batches_of_kfac": 64, "sgd_in_fp32": 32, "sgd_convolved": 32,
    }  # fmt: skip
    assert {name: round(speed) for name, speed in found["images_per_s"].items()} == {
        "sgd": 100, "kfac": 50, "sgd_in_batches_of_kfac": 200, "sgd_in_fp32": 25, "sgd_convolved": 50,
    }  # fmt: skip
    assert found["kfac_takes_times"] == pytest.approx({"sgd": 2.0, "sgd_in_batches_of_kfac": 4.0})
    assert "100 by SGD (25 in fp32, 50 with torch's" in said
    assert precisions == {"fp32", "bf16"}


def test_parts_are_written_as_they_are_measured_and_what_lacks_data_is_left_out(
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
    told = capsys.readouterr()
    assert told.out.index("It is 1.") < told.out.index("It is 2.")
    assert told.err == "benchmark: left out of one: no such data\nbenchmark: left out of two: no such data\n"
    content = json.loads((tmp_path / "one.json").read_text())
    assert content["measured"] == [{"number": 1}, {"number": 2}]
    assert content["environment"]["precision"] in ("fp32", "bf16")
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]

    assert benchmark.main([*output, "--parts", "three"]) == 130
    assert capsys.readouterr().err.startswith("benchmark: stopped.")
    assert benchmark.main([*output, "--parts", "four"]) == 2
    assert capsys.readouterr().err == "benchmark: PARTS has 'four': expected some of one,two,three.\n"


def test_every_part_measures_presets_that_are_there() -> None:
    experiments = {case.experiment for case in rows.CASES}
    assert {row.experiment for row in table.load("table1").rows} <= experiments
    assert {"table2/ff_max_ssq_2", "table2/ff_max_ssq_3", "table2/bp_2"} <= experiments
    assert {case.experiment: case.maps for case in rows.CASES if case.maps} == {
        "table2/ff_max_ssq_2": 2, "table2/ff_max_ssq_3": 3,
    }  # fmt: skip
    assert set(rows.HELD) <= experiments
    assert len(benchmark.PARTS["memory"]) == len(rows.HELD)
