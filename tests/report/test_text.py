import pytest

from ffrepro.metric import named
from ffrepro.report import text
from ffrepro.report.groups import Summary, group
from tests.report.made import made_record, run, runs
from tests.report.test_compare import row_of


@pytest.mark.parametrize(
    ("errors", "ours", "difference"),
    [
        ((1.35, 1.36, 1.40), "1.37 ± 0.03", "+0.01"),
        ((1.35, 1.35, 1.36), "1.35 ± 0.01", "−0.01"),
        # 1.40333… is above 1.40: two decimals would hide why it is "worse".
        ((1.40, 1.40, 1.41), "1.403 ± 0.006", "+0.043"),
    ],
)
def test_as_many_decimals_as_the_verdict_needs(errors: tuple[float, ...], ours: str, difference: str) -> None:
    row = row_of(runs(*errors))

    assert (text.ours(row), text.difference(row)) == (f"{ours} %", difference)


def test_numbers() -> None:
    assert text.number(-1.5, named("test_error")) == "−1.50"
    assert text.value(0.012345, named("test_loss")) == "0.01235"
    assert text.value(1.5, named("test_error")) == "1.50 %"
    assert text.value(None, named("test_error")) == text.NONE
    assert text.given(37, named("test_error")) == "37 %"
    assert text.given(1.4, named("test_error")) == "1.40 %"


@pytest.mark.parametrize(
    ("metric", "value", "printed"),
    [
        ("test_perplexity", Summary(2, 91.0, 1.0), "91.00 ± 1.00"),
        ("test_loss", Summary(2, 0.5, 0.00123), "0.5000 ± 0.0012"),
        ("test_loss", Summary(2, -0.0999996, 0.00002), "−0.1000 ± 0.0000"),
        ("test_loss", Summary(2, 0.0, 0.0), "0.000 ± 0.000"),
        ("test_loss", Summary(1, 0.5, None), "0.5000"),
        ("samples", Summary(2, 12345.6, 7.8), "12346 ± 8"),
    ],
)
def test_a_spread_has_the_decimals_of_its_mean(metric: str, value: Summary, printed: str) -> None:
    assert text.summary(value, named(metric)) == printed


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        ("results_dir=/home/some one", "results_dir=<path> one"),
        ("cannot read '/a/b.json'", "cannot read '<path>'"),
        ("data in ~/data/mnist", "data in <path>"),
        (r"C:\Users\me", "<path>"),
        ("experiment=table1/bp", "experiment=table1/bp"),
        ("https://example.org/a", "https://example.org/a"),
        ("<b>bold</b>", "<b>bold</b>"),
        ("goodness / threshold, 1/2", "goodness / threshold, 1/2"),
    ],
)
def test_absolute_paths_are_taken_out(given: str, printed: str) -> None:
    assert text.without_paths(given) == printed
    assert text.without_paths({"a": [given, 1]}) == {"a": [printed, 1]}


def test_what_is_reduced_says_so() -> None:
    less = run(made_record("same", budget="quick", stand_in=True))
    assert text.kinds(less) == ["reduced: quick budget", "stand-in data"]
    assert text.kinds(less, named=False) == ["reduced", "stand-in data"]
    assert text.kinds(run(made_record("same"))) == []


@pytest.mark.parametrize(
    ("machines", "said"),
    [
        ([("A CPU, 2 cores", None, 2, "fp32")] * 2, "A CPU, 2 cores; 2 threads; fp32"),
        ([("A CPU, 2 cores", None, 1, "bf16")], "A CPU, 2 cores; 1 thread; bf16"),
        (
            [("A CPU, 2 cores", None, 2, "bf16"), ("A CPU, 2 cores", None, 1, "fp32")],
            "A CPU, 2 cores; 1 or 2 threads; 1 × bf16, 1 × fp32",
        ),
        ([("A GPU", "13.2", 16, "bf16")], "A GPU; bf16"),
    ],
)
def test_a_device_is_named_with_the_threads_of_a_cpu(
    machines: list[tuple[str, str | None, int, str]], said: str
) -> None:
    records = [made_record("same", seed=seed) for seed in range(len(machines))]
    for record, (device, cuda, threads, precision) in zip(records, machines, strict=True):
        record.environment.update(device=device, cuda=cuda, threads=threads, precision=precision)
    (groups,) = group([run(record) for record in records]).values()
    assert text.device(groups[0]) == said


def test_commits_are_named_once_with_a_mark_for_further_changes() -> None:
    assert text.commits(run(made_record("same", dirty=True))) == ["0123456*"]
    assert text.commits(run(made_record("same", git={"commit": None, "dirty": None}))) == ["unknown"]
    resumed = run(made_record("same", git={"commit": "b" * 40, "dirty": False, "earlier": ["a" * 40]}))
    other = run(made_record("same", seed=1, git={"commit": "b" * 40, "dirty": True}))
    assert text.commits(resumed, other) == ["aaaaaaa", "bbbbbbb", "bbbbbbb*"]
