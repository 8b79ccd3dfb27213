"""Generated pictures held against real ones: the numbers, what each picture adds to them, what intervals promise.

The fast version of benchmarks/generated.py; docs/calibration.md has 400 trials of each scenario.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from generated import SCENARIOS, outcomes, rates, study

from evenhand.evaluation.distributions import LEAST, NEIGHBOURS, Estimate, Manifold, compare, copies, kid
from evenhand.evaluation.pictures import Pictures, choose_pictures, read_pictures, write_pictures
from evenhand.splits.groups import Pair
from evenhand.splits.manifests import ids_of
from evenhand.stats.generated import SHARES, generated_table
from evenhand.workflow.errors import UserError

X, Y = (np.random.default_rng(seed).normal(size=size) for seed, size in ((0, (30, 20)), (1, (26, 20))))
Y += 0.7


def by_library(generated: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """The same numbers from kernels and neighbours of scikit-learn, written as the papers write them."""

    def off_diagonal(kernel: np.ndarray) -> float:
        return float(kernel[~np.eye(len(kernel), dtype=bool)].mean())

    kernels = [polynomial_kernel(a, b, 3, 1 / a.shape[1], 1) for a, b in ((generated,) * 2, (real,) * 2)]
    discrepancy = sum(map(off_diagonal, kernels)) - 2 * polynomial_kernel(generated, real, 3, None, 1).mean()

    def radii(points: np.ndarray) -> np.ndarray:
        return NearestNeighbors(n_neighbors=NEIGHBOURS).fit(points).kneighbors()[0][:, -1]

    distances = np.linalg.norm(generated[:, None] - real[None], axis=2)
    in_real = distances <= radii(real)
    return {
        "kid": discrepancy,
        "precision": in_real.any(axis=1).mean(),
        "recall": (distances <= radii(generated)[:, None]).any(axis=0).mean(),
        "density": in_real.sum() / (NEIGHBOURS * len(generated)),
        "coverage": in_real.any(axis=0).mean(),
    }


def test_numbers_are_those_of_a_library() -> None:
    found, expected = compare(Manifold.around(X), Manifold.around(Y)), by_library(X, Y)
    assert found.keys() == expected.keys()
    for name, one in found.items():
        assert one.value == pytest.approx(expected[name], rel=1e-12), name
        assert 0 < one.value < (1 if name in SHARES else np.inf)


@pytest.mark.parametrize("name", ["kid", "precision", "recall", "density", "coverage"])
def test_influences_are_what_leaving_a_picture_out_does(name: str) -> None:
    """Against the numbers computed anew without each picture."""

    def influences(without: Callable[[int], float], n: int) -> np.ndarray:
        values = np.array([without(place) for place in range(n)])
        return (n - 1) * (values.mean() - values)

    found = compare(Manifold.around(X), Manifold.around(Y))[name]
    of_x = influences(lambda place: by_library(np.delete(X, place, 0), Y)[name], len(X))
    of_y = influences(lambda place: by_library(X, np.delete(Y, place, 0))[name], len(Y))
    np.testing.assert_allclose(found.generated, of_x, atol=1e-10)
    np.testing.assert_allclose(found.real, of_y, atol=1e-10)
    assert np.ptp(of_x) > 0
    assert np.ptp(of_y) > 0


def test_kid_of_one_dimension_in_closed_form() -> None:
    """Of small features: 3 times the squared difference of means, less what the variances add to that on average."""
    small = 1e-3
    points = np.array([[-1.0], [1.0], [0.0]]) * small
    expected = 3 * (small**2 - 2 * points.var(ddof=1) / len(points))
    assert kid(points, points + small).value == pytest.approx(expected, rel=0.01)


def test_numbers_of_copies_and_of_strangers() -> None:
    """All real pictures over again are all there is; far ones are nothing."""
    real = Manifold.around(Y)
    same, far = compare(real, real), compare(Manifold.around(X[: len(Y)] + 100), real)
    assert [same[name].value for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    assert [far[name].value for name in ("precision", "recall", "density", "coverage")] == [0, 0, 0, 0]
    compare(Manifold.around(X[:LEAST]), Manifold.around(Y[:LEAST]))


@pytest.mark.parametrize(("n", "m"), [(100, 100), (60, 400)])
def test_share_of_copies_is_that_of_what_was_planted(n: int, m: int) -> None:
    """Over all orders of the distances, of which the nearest of the held-out ones decide: no copy is 0 on average."""
    rng = np.random.default_rng(0)
    planted = n // 10
    shares = []
    for _ in range(3000):
        distances = rng.exponential(size=n)
        distances[:planted] = 0.0
        shares.append(copies(distances, rng.exponential(size=m)).value)
    error = np.std(shares) / np.sqrt(len(shares))
    assert np.mean(shares) == pytest.approx(planted / n, abs=4 * error)
    one: Estimate = copies(np.ones(n), np.full(m, 2.0))
    assert one.value == pytest.approx(1.0)
    assert one.generated.sum() == pytest.approx(0)


def test_as_many_of_each_kind_are_drawn_with_their_own_features(tmp_path: Path) -> None:
    """Features are numbers of pictures: from 0 of the prior, from 100 of test images, from 200 of training images."""
    test = {group: [f"{group}{k}" for k in range(n)] for group, n in (("light", 12), ("dark", 9), ("other", 8))}
    training = {"dark": [f"d{k}" for k in range(10)], "light": [f"l{k}" for k in range(15)]}
    features = [np.arange(first, first + n, dtype=np.float32)[:, None] for first, n in ((0, 8), (100, 29), (200, 25))]
    model = {"train_set": "B", "compared_share": 0.4, "run": 3, "extractor": "numbers", "seed": 1}
    write_pictures(choose_pictures(features, (test, training), **model), tmp_path / "pictures.npz")
    found = read_pictures(tmp_path / "pictures.npz")
    assert (found.train_set, found.compared_share, found.extractor) == ("B", 0.4, "numbers")
    assert found.features["prior"].ravel().tolist() == list(range(8))
    numbers = dict(zip(ids_of(test), range(100, 129), strict=True))
    numbers |= dict(zip(ids_of(training), range(200, 225), strict=True))
    for features_of, names in [(found.features["training"], found.names["training"])] + [
        (found.real[group], found.ids[group]) for group in test
    ]:
        assert len(set(names)) == 8
        assert features_of.ravel().tolist() == [numbers[str(name)] for name in names]
    assert found.ids["other"] == test["other"]
    assert found.ids["light"] != test["light"][:8]
    # Dark training images are 200 to 209, light ones 210 to 224; of others there are none.
    assert {*found.nearest} == {"light", "dark"}
    assert found.nearest["dark"][0].tolist() == [200 - k for k in range(8)]
    assert found.nearest["light"][1].tolist() == (210 - found.real["light"].ravel()).tolist()


def test_a_row_says_why_its_number_is_missing() -> None:
    """Too few images, and copies of a group that the training set lacks; other numbers are not touched by that."""
    rng = np.random.default_rng(0)

    def table(n: int, trained_on: list[str]) -> pd.DataFrame:
        test = {group: [f"{group}{k}" for k in range(n)] for group in ("light", "dark")}
        training = {group: [f"{group} {k}" for k in range(n)] for group in trained_on}
        features = [rng.normal(size=(size, 4)) for size in (n, 2 * n, n * len(trained_on))]
        model = {"train_set": "A", "compared_share": 0.0, "run": 0, "extractor": "none", "seed": 1}
        chosen = choose_pictures(features, (test, training), **model)
        return generated_table([[chosen]], ["light", "dark"], [Pair("light", "dark")], None, 0.05)

    few, without = table(LEAST - 1, ["light", "dark"]), table(20, ["light"])
    assert few["estimate"].isna().all()
    assert few["note"].str.startswith(f"fewer than {LEAST} images").all()
    missing = without[without["estimate"].isna()]
    assert [*zip(missing["group"], missing["minus"], missing["quantity"], strict=True)] == [
        ("dark", "", "copies"),
        ("dark", "light", "copies"),
    ]
    assert (missing["note"] == "no training image of the group to be near to").all()
    known = without[without["ci_low"].notna()]
    assert (known["covers"] == "images").all()
    shares = known[known["quantity"].isin(SHARES) & (known["minus"] == "")]
    assert shares["ci_low"].min() >= 0
    assert shares["ci_high"].max() == 1


def test_starts_on_one_training_set_are_one_model_with_their_mean() -> None:
    """Of two starts each number is the mean of those of studies of one of them, and moves with both."""
    scenario = replace(next(one for one in SCENARIOS if one.copies and one.n == 100), n=30)
    (first,), (other,) = study(scenario, np.random.default_rng(0))[0], study(scenario, np.random.default_rng(1))[0]
    second = replace(first, features=other.features, nearest=other.nearest)

    def table(*starts: Pictures) -> pd.DataFrame:
        rows = generated_table([starts], ["light", "dark"], [Pair("light", "dark")], None, 0.05)
        return rows.set_index(["sample_of", "group", "minus", "quantity"])

    both, one, two = table(first, second), table(first), table(second)
    pd.testing.assert_series_equal(both["estimate"], (one["estimate"] + two["estimate"]) / 2)
    alone = one.loc["prior", "dark", "", "kid"], two.loc["prior", "dark", "", "kid"]
    assert alone[0]["estimate"] != alone[1]["estimate"]
    # The noise of both counts once, with the mean of what it does in each.
    widths = [row["ci_high"] - row["ci_low"] for row in (both.loc["prior", "dark", "", "kid"], *alone)]
    assert 0 < widths[0] <= max(widths[1:])
    assert (both["n_runs"] == 1).all()
    with pytest.raises(UserError, match="expected the same held-out and training images in all starts"):
        table(first, other)


def test_intervals_hold_what_is_true_of_one_population() -> None:
    """KID of two samples, every difference between groups that do not differ, and the share of planted copies."""
    scenario = next(one for one in SCENARIOS if one.copies and one.n == 100)
    trials = 100
    found = rates(outcomes(scenario, range(trials), 1), scenario)
    known = found[found["truth"].notna()]
    assert {*known["quantity"]} == {"kid", "precision", "recall", "density", "coverage", "copies"}
    # As few as in one of a thousand such tests of an interval that holds it in 93 % of trials.
    assert (known["holds"] * known["intervals"] >= binom.ppf(0.001, trials, 0.93)).all()
    assert (known["intervals"] == trials).all()
    planted = known[(known["quantity"] == "copies") & (known["group"] == "dark") & (known["minus"] == "")]
    assert planted["mean"].item() == pytest.approx(scenario.copies, abs=0.005)


def test_a_missing_mode_is_missed_in_its_group_alone() -> None:
    scenario = next(one for one in SCENARIOS if one.modes and one.n == 100)
    found = rates(outcomes(scenario, range(15), 1), scenario)
    means: pd.Series[float] = found.set_index(["train_set", "group", "minus", "quantity"])["mean"]
    below: pd.Series[float] = found.set_index(["train_set", "group", "minus", "quantity"])["below"]
    for quantity in ("recall", "coverage"):
        complete, lacking = means["complete"], means["lacking"]
        assert lacking["dark", "", quantity] < complete["dark", "", quantity] - 0.3
        assert lacking["light", "", quantity] == pytest.approx(complete["light", "", quantity], abs=0.03)
        assert below["lacking", "dark", "light", quantity] > 0.8
        assert below["complete", "dark", "light", quantity] < 0.2
