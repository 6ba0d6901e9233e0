"""Configs of older records under today's names, written out by hand."""

import copy
from typing import Any

import pytest

from ffrepro.runs.older_records import name_today, up_to_date, up_to_date_choices

DEEP_NET: dict[str, Any] = {
    "architecture": {"_target_": "ffrepro.architecture.vanilla_resnet.VanillaResnet", "depth": 50},
    "algorithm": {
        "_target_": "ffrepro.algorithm.tat.DeepNet",
        "batch_size": 32,
        "crop": 64,
        "augment": True,
        "smallest_crop": 0.15,
        "middle": 0.875,
        "label_smoothing": 0.1,
        "optimizer": {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.003},
    },
    "goodness": {"_target_": "ffrepro.goodness.SumOfSquares"},
    "budget": {"name": "paper"},
}
FORWARD_FORWARD: dict[str, Any] = {
    "architecture": {"_target_": "ffrepro.architecture.mlp.Mlp", "widths": [10], "init_gain": 2.0},
    "algorithm": {"_target_": "ffrepro.algorithm.ff_supervised.FFSupervised", "jitter": None, "threshold": 1.0},
    "goodness": {"_target_": "ffrepro.goodness.MeanOfSquares"},
    "schedule": {"_target_": "ffrepro.schedule.HoldThenLinear", "epochs": 60},
    "budget": {"name": "paper", "most_epochs": 10},
}


def test_a_deep_net_is_backprop_with_augmentation_and_a_loss() -> None:
    assert up_to_date(DEEP_NET)["algorithm"] == {
        "_target_": "ffrepro.algorithm.backprop.Backprop",
        "batch_size": 32,
        "loss": {"_target_": "ffrepro.loss.CrossEntropy", "label_smoothing": 0.1},
        "augmentation": {
            "_target_": "ffrepro.dataset.augment.RandomResizedCrops",
            "size": 64,
            "min_area": 0.15,
            "center_crop_ratio": 0.875,
        },
        "optimizer": {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.003},
    }
    assert up_to_date(DEEP_NET)["budget"] == {"name": "paper", "most_epochs": None}


def test_a_goodness_was_an_option_of_all_runs_and_is_the_algorithms_own() -> None:
    config = up_to_date(FORWARD_FORWARD)
    assert config["algorithm"] == {
        "_target_": "ffrepro.algorithm.ff_supervised.FFSupervised",
        "goodness": {"_target_": "ffrepro.forward_forward.goodness.MeanOfSquares"},
        "jitter": 0,
        "threshold": 1.0,
    }
    assert config["architecture"]["init_variance_scale"] == 2.0
    assert "init_gain" not in config["architecture"]
    assert config["schedule"]["warm_up"] == 0.0
    assert config["budget"]["most_epochs"] == 10


@pytest.mark.parametrize("config", [DEEP_NET, FORWARD_FORWARD], ids=["deep net", "Forward-Forward"])
def test_a_config_is_brought_up_to_date_once_and_itself_stays(config: dict[str, Any]) -> None:
    before = copy.deepcopy(config)
    today = up_to_date(config)
    assert config == before
    assert up_to_date(today) == today


def test_other_classes_may_have_options_of_a_former_name() -> None:
    config = {"algorithm": {"_target_": "mine.Algorithm", "crop": 3, "label_smoothing": 0.5, "augment": True}}
    assert up_to_date(config) == config


@pytest.mark.parametrize("config", [{"algorithm": "ff", "budget": 3}, {"algorithm": {"_target_": 7, "loss": 3}}, {}])
def test_a_damaged_config_is_left_for_others_to_refuse(config: dict[str, Any]) -> None:
    assert isinstance(up_to_date(config), dict)


def test_former_names_are_answered() -> None:
    assert up_to_date_choices({"algorithm": "bp", "dataset": "mnist"}) == {"algorithm": "backprop", "dataset": "mnist"}
    assert name_today("algorithm=bp") == "algorithm=backprop"
    assert name_today("algorithm.middle") == "algorithm.augmentation.center_crop_ratio"
    assert name_today("algorithm.batch_size") is None
