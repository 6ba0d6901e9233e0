"""Hydra's complaints in one line, with suggestions."""

import hydra
import pytest

from ffrepro.commands.suggestions import explain, is_mistake, mistakes_explained
from ffrepro.errors import UserError
from ffrepro.paths import CONF


def explained(*arguments: str) -> str:
    """The explanation for a command line that does not compose."""
    with pytest.raises(Exception) as caught, hydra.initialize_config_dir(str(CONF), version_base="1.3"):  # noqa: PT011
        hydra.compose("config", overrides=list(arguments))
    assert is_mistake(caught.value)
    return explain(caught.value, list(arguments))


@pytest.mark.parametrize(
    ("arguments", "start", "meant"),
    [
        (["sede=1"], "there is no option 'sede'.", "Did you mean seed"),
        (["algorithm.learning_rte=1"], "there is no option 'algorithm.learning_rte'.", "algorithm.learning_rate"),
        (["learning_rate=1"], "there is no option 'learning_rate'.", "mean algorithm.learning_rate"),
        (["goodnes=sum_of_squares"], "there is no option 'goodnes'.", "Did you mean goodness"),
        (
            ["dataset=mnits"],
            "there is no dataset=mnits: expected one of aesop, cifar10, digits, fashion_mnist, imagenette, mnist.",
            "mean mnist",
        ),
        (
            ["dataset=qqqq"],
            "there is no dataset=qqqq: expected one of aesop, cifar10, digits, fashion_mnist, imagenette, mnist.",
            "",
        ),
        (["sweep=jobli"], "there is no sweep=jobli: expected one of joblib, slurm.", "mean joblib"),
        (["seed=3", "sweep=null"], "there is no sweep=null: expected one of joblib, slurm.", ""),
        (["architecture=3d", "goodness=NULL"], "there is no goodness=NULL: expected one of mean_of_squares,", ""),
        (["goodness=3"], "there is no goodness=3: expected one of mean_of_squares,", ""),
        (["experiment=table1/pb"], "there is no experiment=table1/pb: expected one of ablation/", "mean table1/bp"),
        (["experiment=tabel1/bp"], "there is no experiment=tabel1/bp: expected one of ablation/", "mean table1/bp"),
        # An option of backprop, where an experiment chose it.
        (["experiment=table1/bp", "algorithm.optimizer.lrr=1"], "there is no option", "algorithm.optimizer.lr"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_misspelt_option_is_named_with_suggestions(arguments: list[str], start: str, meant: str) -> None:
    text = explained(*arguments)
    assert text.startswith(start)
    assert meant in text
    assert ("Did you mean" in text) == bool(meant)
    assert "\n" not in text


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["algorithm=bp"], "algorithm=bp has another name now: algorithm=backprop."),
        (["algorithm.middle=0.9", "algorithm=tat"], "now: algorithm.augmentation.center_crop_ratio."),
        (["architecture.init_gain=2"], "now: architecture.init_variance_scale."),
    ],
)
def test_a_former_name_is_answered_with_the_present_name(arguments: list[str], answer: str) -> None:
    assert explained(*arguments).endswith(answer)


def test_other_complaints_are_one_line() -> None:
    text = explained("seed=[1,")
    assert text
    assert "\n" not in text
    assert explain(ValueError("first\nsecond"), []) == "first second"
    assert not is_mistake(ValueError("first\nsecond"))


@pytest.mark.parametrize("taken_out", ["~goodness=3", "~goodness", "~dataset.validation", "~threads"])
def test_an_option_cannot_be_taken_out(taken_out: str) -> None:
    with (
        pytest.raises(UserError, match=rf"^{taken_out} takes out an option that runs need: give it another value"),
        mistakes_explained(["seed=1", taken_out]),
    ):
        pytest.fail("it goes on")


def test_hydras_own_options_can_be_taken_out() -> None:
    with mistakes_explained(["~hydra/launcher", "seed=1"]):
        pass


@pytest.mark.parametrize("arguments", [["seed=1"], ["experiment=no/such"], ["experiment=a,b", "seed=1,2"]])
def test_a_second_mistake_on_the_line_does_not_hide_the_first(arguments: list[str]) -> None:
    error = ValueError("Could not override 'sede'.")
    assert "Did you mean seed" in explain(error, [*arguments, "sede=1"])
