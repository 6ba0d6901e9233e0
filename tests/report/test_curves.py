"""Learning curves: a figure for each row, or a figure for all."""

from dataclasses import replace

import pytest

from ffrepro.report.compare import compare
from ffrepro.report.sections import curves
from ffrepro.table import Row
from tests.report.made import made_record, made_table, pictures, run, runs


def test_a_row_has_its_first_and_last_values_and_the_papers_in_words() -> None:
    (picture,) = pictures(curves.section(compare(made_table(), runs(1.3, 1.4, 1.35))))
    # The mean of 62, 62.1 and 62.2, and of 2 + 60 * 0.6 ** 11 and 0.1 and 0.2 more.
    assert "Error on training batches during training: 62.10 % after epoch 1, 2.32 % after epoch 12" in picture.alt
    assert picture.alt.endswith("the paper's test error, 1.36 %.")
    assert picture.caption == "Mean of 3 seeds."


def test_a_papers_number_of_other_data_is_no_line() -> None:
    rows = [replace(row, reproduced=None) for row in made_table().rows]
    (picture,) = pictures(curves.section(compare(replace(made_table(), rows=rows), runs(1.3))))
    assert "the paper's" not in picture.alt


def test_a_net_with_two_tests_has_the_papers_number_by_the_softmax() -> None:
    net = Row("net", "A net", "table9/net", 1.36, "S", (1.32, 1.40), test="all", metric="test_error_goodness")
    softmax = replace(net, name="soft", paper=1.5, test="softmax", metric="test_error_softmax", record="net")
    table = replace(made_table(), rows=[net, softmax])
    (picture,) = pictures(curves.section(compare(table, [run(made_record("net"))])))
    assert picture.alt.endswith("the paper's test error, by softmax, 1.50 %.")


@pytest.mark.parametrize(
    ("n_rows", "files"), [(8, ["table9-curves.svg"]), (9, [f"table9-{i}-curve.svg" for i in range(9)])]
)
def test_rows_without_numbers_of_the_papers_share_a_figure_while_they_can_be_told_apart(
    n_rows: int, files: list[str]
) -> None:
    table = replace(made_table(), rows=[Row(str(i), f"Row {i}", f"table9/{i}") for i in range(n_rows)])
    found = compare(table, [run(made_record(str(i))) for i in range(n_rows)])
    assert [picture.file for picture in pictures(curves.section(found))] == files
