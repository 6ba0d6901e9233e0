"""Metrics: their names, numbers and directions."""

import pytest

from ffrepro.metric import Part, headline, is_finite, is_known, listed, named


@pytest.mark.parametrize(
    ("name", "heading"),
    [
        ("test_error", "Test error, %"),
        ("train_error_softmax", "Training error, by softmax, %"),
        ("validation_loss", "Validation loss"),
        ("running_error", "Error on training batches during training, %"),
        ("test_error_goodness_layers_1_to_3", "Test error, by goodness, layers 1–3, %"),
        ("test_error_softmax_layer_2", "Test error, by softmax, layer 2, %"),
        ("test_error_goodness_iteration_4", "Test error, by goodness, iteration 4, %"),
        ("test_perplexity_low", "Test perplexity, lower end of the 95 % interval"),
        ("test_bits_per_character", "Test bits per character"),
        ("angle_layer_2", "Angle, layer 2, °"),
        ("loss", "Loss"),
        ("test_error_by_hand", "Test error, by hand, %"),
        ("test_gap_softmax", "Test gap softmax"),
        ("test", "Test"),
        ("odd-name", "Odd-name"),
    ],
)
def test_a_name_is_a_heading(name: str, heading: str) -> None:
    assert named(name).heading == heading


@pytest.mark.parametrize(
    ("name", "split", "way", "part", "whole"),
    [
        ("test_error", "test", "", None, "test_error"),
        ("validation_error_softmax", "validation", "softmax", None, "validation_error_softmax"),
        ("test_error_goodness_layer_2", "test", "goodness", Part("layer", 2, 2), "test_error_goodness"),
        ("train_loss_iterations_1_to_10", "train", "", Part("iteration", 1, 10), "train_loss"),
        ("loss", None, "", None, "loss"),
    ],
)
def test_a_name_has_parts(name: str, split: str | None, way: str, part: Part | None, whole: str) -> None:
    metric = named(name)
    assert (metric.split, metric.way, metric.part, metric.whole) == (split, way, part, whole)


@pytest.mark.parametrize(
    ("name", "value", "printed"),
    [
        ("test_error", 1.3649, "1.36 %"),
        ("test_accuracy", 98.6, "98.60 %"),
        ("test_perplexity", 57.034, "57.03"),
        ("test_loss", 0.0411449, "0.04114"),
        ("angle", 12.34, "12.3 °"),
        ("images_per_second", 123456.0, "123456"),
    ],
)
def test_numbers_have_their_decimals_and_unit(name: str, value: float, printed: str) -> None:
    assert named(name).with_unit(value) == printed


def test_decimals_may_be_asked_for() -> None:
    assert named("test_error").format(1.40333, 3) == "1.403"
    assert named("test_loss").format(0.041149, 3) == "0.041"


@pytest.mark.parametrize(("value", "places"), [(0.04114, 5), (0.5, 4), (2.3, 3), (12345.6, 0), (0.0, 3), (9.9999, 2)])
def test_a_loss_has_the_decimals_of_four_figures(value: float, places: int) -> None:
    assert named("test_loss").places(value) == places
    assert named("test_error").places(value) == 2


def test_the_direction_decides_what_is_worse() -> None:
    assert named("test_error").worse_by(30.0, 28.0) == 2.0
    assert named("test_loss").worse_by(0.5, 0.75) == -0.25
    assert named("test_accuracy").worse_by(70.0, 72.0) == 2.0


def test_the_same_metric_on_another_split() -> None:
    assert named("test_error_goodness").on("train") == "train_error_goodness"
    assert named("test_loss").on("validation") == "validation_loss"


def test_metrics_are_listed_by_split_quantity_and_detail() -> None:
    names = ["seconds", "validation_loss", "test_loss", "test_error_softmax", "train_error", "test_error"]
    ordered = ["test_error", "test_error_softmax", "test_loss", "train_error", "validation_loss", "seconds"]
    assert [metric.name for metric in listed(names)] == ordered


def test_the_headline_is_the_first_quantity_on_the_first_split() -> None:
    names = ["test_loss", "test_error", "test_error_goodness_layer_1", "train_error"]
    assert headline(names) == "test_error"
    assert headline(["test_loss", "test_accuracy"]) == "test_loss"
    assert headline(["test_error", "validation_loss"], ("validation", "test")) == "validation_loss"
    assert headline(["test_error", "validation_error_softmax"], ("validation", "test")) == "validation_error_softmax"
    assert headline(["test_perplexity_low", "seconds"]) is None


def test_quantities_are_known_or_not() -> None:
    assert is_known("test_error_softmax")
    assert not is_known("test_errors")
    assert [is_finite(value) for value in (1.0, None, float("nan"), float("inf"))] == [True, False, False, False]
