"""Tables over many models: memory holds one model at a time, and the sums are those of all rows together."""

import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest
from simulated import PAIR, TRAIN_SETS, Truth, simulate_study

from evenhand.stats import summary
from evenhand.stats.crossed import CrossedSums
from evenhand.stats.models import clustered_ols
from evenhand.stats.rows import by_model
from evenhand.stats.summary import RUN_METRICS, Totals, error_totals, summarise
from evenhand.stats.tone import tone_totals
from evenhand.stats.uncertainty import uncertainty_table

TRUTH = Truth(n_light=900, n_dark=900, test_size=400, train_size=300, runs=3, shares={"A": 0.0}, condition=0.3)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Three models with 800 test images each."""
    table, _ = simulate_study(TRUTH, np.random.default_rng(0))
    return table.assign(ita_in=np.where(table["group"] == "dark", -10.0, 40.0) + np.arange(len(table)) % 7)


def models(rows: pd.DataFrame, count: int) -> Iterator[pd.DataFrame]:
    """`count` models with the test images of the first three by turns, each made when it is asked for."""
    first = list(by_model(rows))
    for run in range(count):
        model = first[run % 3]
        of_run = dict.fromkeys({*RUN_METRICS} - {*model}, model["mse"] + run)
        yield model.assign(run=run, **of_run).copy()


def covariances(given: Iterator[pd.DataFrame], rows: pd.DataFrame) -> object:
    sums = CrossedSums(PAIR, ["mse", "latent_std"])
    for run in given:
        sums.add(run)
    return sums.table()


def regression(given: Iterator[pd.DataFrame], rows: pd.DataFrame) -> object:
    return clustered_ols(*error_totals(by_model(rows), PAIR), given, PAIR, ["A"])


REDUCTIONS: dict[str, Callable[[Iterator[pd.DataFrame], pd.DataFrame], object]] = {
    "summarise_runs": lambda given, _: summarise(given, PAIR),
    "adjust_gaps": lambda given, _: error_totals(given, PAIR),
    "adjust_gaps, regressions": regression,
    "summarise_runs, covariances": covariances,
    "score_uncertainty": lambda given, _: uncertainty_table(given, PAIR, TRAIN_SETS, ["latent_std"], [], None, 0.05),
    "measure_colour": lambda given, _: tone_totals(given, PAIR),
}


@pytest.mark.parametrize("script", REDUCTIONS)
def test_memory_does_not_grow_with_the_rows(script: str, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times as many models of the same images: held rows would take four times the memory."""
    monkeypatch.setattr(summary, "BATCH", 5)
    peaks = []
    for count in (9, 36):
        tracemalloc.start()
        REDUCTIONS[script](models(rows, count), rows)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    a_model = rows.memory_usage(index=False).sum() / 3
    assert peaks[1] - peaks[0] < 27 * a_model / 5, (peaks, a_model)


def test_sums_in_batches_are_those_of_all_rows(rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "BATCH", 2)
    given = pd.concat(models(rows, 11), ignore_index=True)
    images, cells = error_totals(models(rows, 11), PAIR)
    expected = (
        given.assign(y=np.log(given["mse"]))
        .groupby(["group", "id"])
        .agg(n=("mse", "size"), total=("mse", "sum"), y=("y", "sum"))
    )
    assert images["id"].tolist() == expected.index.get_level_values("id").tolist()
    assert images["n"].tolist() == expected["n"].tolist()
    assert images["total"].to_numpy() == pytest.approx(expected["total"].to_numpy())
    assert images["log_total"].to_numpy() == pytest.approx(expected["y"].to_numpy())
    of_run = given.groupby("run")["mse"].agg(["size", "sum"])
    assert cells.groupby("run")["n"].sum().tolist() == of_run["size"].tolist()
    assert cells.groupby("run")["total"].sum().to_numpy() == pytest.approx(of_run["sum"].to_numpy())


def test_totals_count_nothing_twice_and_lose_nothing() -> None:
    sums = Totals(["key"])
    for start in range(0, 300, 3):
        sums.add(
            pd.DataFrame({"key": [f"{i % 7}" for i in range(start, start + 3)], "n": 1, "i": range(start, start + 3)})
        )
    table = sums.table()
    assert table["n"].sum() == 300
    assert table.loc["3", "i"] == sum(range(3, 300, 7))
