"""The command that fetches the data sets; none is downloaded."""

import pytest

from ffrepro.commands import fetch_data
from ffrepro.dataset.digits import Digits
from ffrepro.errors import DataNotFoundError


def test_all_options_but_the_stand_in_are_fetched() -> None:
    assert list(fetch_data.sources()) == ["aesop", "cifar10", "fashion_mnist", "imagenette", "mnist"]


def test_a_missing_data_set_and_an_unknown_name_do_not_stop_the_others(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Missing:
        def load(self, device: object) -> object:
            raise DataNotFoundError("data set missing not found")

    sources = {"missing": Missing(), "digits": Digits("digits", validation=0, targets="labels", stand_in=False)}
    monkeypatch.setattr(fetch_data, "sources", lambda: sources)
    assert fetch_data.main(["missing", "mnits", "digits"]) == 2
    printed = capsys.readouterr()
    assert printed.out == "digits: 1437 training and 360 test examples, files as they should be\n"
    assert printed.err == (
        "fetch_data: data set missing not found\n"
        "fetch_data: there is no data set 'mnits': expected some of missing, digits.\n"
    )
    assert fetch_data.main(["digits"]) == 0
