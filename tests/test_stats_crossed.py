"""Images crossed with models, and standardisation: by hand, by closed form and by invariance."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from simulated import NO_IMAGES, PAIR, Truth, covariances_of, simulate_study
from simulated_outcomes import promises
from simulated_studies import simulate_table

from evenhand.stats.components import StartSums, starts_of
from evenhand.stats.crossed import Crossed, CrossedSums, CrossedTest, crossed
from evenhand.stats.paired import Planned
from evenhand.stats.plan import Components, Size, pilot_components, plan_table, planned
from evenhand.stats.rows import by_model, by_run, mean_of_starts
from evenhand.stats.strata import adjusted_gaps, standard_means
from evenhand.stats.summary import error_totals
from evenhand.workflow.errors import UserError

SMALL = Truth(n_light=400, n_dark=200, test_size=60, train_size=100, runs=4, condition=0.3, mix=0.8, source=0.3)


def four_conditions() -> pd.DataFrame:
    """One run. acne: light 1, 3; dark 5. wart: light 2; dark 4, 8. nevus: light only. lupus: dark only."""
    rows = [
        ("light", "acne", 1.0),
        ("light", "acne", 3.0),
        ("dark", "acne", 5.0),
        ("light", "wart", 2.0),
        ("dark", "wart", 4.0),
        ("dark", "wart", 8.0),
        ("light", "nevus", 9.0),
        ("dark", "lupus", 7.0),
    ]
    table = pd.DataFrame(rows, columns=["group", "condition", "mse"])
    hashes = [f"i{number}" for number in range(len(table))]
    return table.assign(train_set="B", compared_share=0.5, run=0, id=hashes, source="dermaamin")


def as_totals(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows as sums over one row each."""
    return rows.assign(n=1, total=rows["mse"])


def standardised(rows: pd.DataFrame, min_images: int) -> tuple[pd.DataFrame, float]:
    standard = standard_means(as_totals(rows), rows["condition"], PAIR, min_images)
    return standard.strata, standard.means["dark"] - standard.means["light"]


def test_standardisation_by_hand() -> None:
    """acne and wart have 3 rows each: weights 1/2; gaps 5 - 2 = 3 and 6 - 2 = 4; adjusted gap 3.5; coverage 6/8."""
    weights, gap = standardised(four_conditions(), 1)
    assert weights["weight"].to_dict() == {"acne": 0.5, "lupus": 0.0, "nevus": 0.0, "wart": 0.5}
    assert gap == 3.5
    rows = four_conditions()
    images, _ = error_totals([rows], PAIR)
    table = adjusted_gaps(images, [rows], PAIR, None, 1, 1, 0.05, 0.05).set_index("adjustment")
    assert table.loc["condition", "gap"] == 3.5
    assert table.loc["condition", "coverage"] == 0.75
    assert table.loc["condition", "coverage_compared"] == 0.75
    # on the same images: dark 5, 4, 8 against light 1, 3, 2
    assert table.loc["condition", "crude_gap"] == pytest.approx(17 / 3 - 2)
    assert table.loc["none", "gap"] == pytest.approx(6.0 - 3.75)
    assert table.loc["condition", "covers"] == "images"


def test_equal_mixes_leave_the_gap_as_it_is() -> None:
    rows = pd.concat([four_conditions().query("condition == 'acne'")] * 1, ignore_index=True)
    _, gap = standardised(rows, 1)
    assert gap == 3.0


@given(st.floats(-5, 5), st.floats(0.1, 10))
@settings(max_examples=25, deadline=None)
def test_adjusted_gap_follows_shift_and_scale(shift: float, scale: float) -> None:
    """Adding to all errors changes no gap; adding to dark ones adds to it; scaling scales it."""
    rows = four_conditions()
    _, gap = standardised(rows, 1)
    assert standardised(rows.assign(mse=rows["mse"] + shift), 1)[1] == pytest.approx(gap)
    dark = rows["mse"] + shift * (rows["group"] == "dark")
    assert standardised(rows.assign(mse=dark), 1)[1] == pytest.approx(gap + shift)
    assert standardised(rows.assign(mse=scale * rows["mse"]), 1)[1] == pytest.approx(scale * gap)


def means_of(rows: pd.DataFrame, metric: str = "mse") -> dict[tuple[str, str], np.ndarray]:
    return {
        (str(key[0]), str(key[1])): part.groupby("run")[metric].mean().to_numpy()
        for key, part in rows.sort_values("id").groupby(["train_set", "group"])
    }


def crossed_of(rows: pd.DataFrame, clusters: dict[str, str] | None = None, metric: str = "mse") -> Crossed:
    sets = sorted(rows["train_set"].unique())
    return crossed(means_of(rows, metric), covariances_of(rows, [metric], clusters=clusters), metric, sets, PAIR)


GAP = {("B", "dark"): 1.0, ("B", "light"): -1.0}


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return simulate_study(SMALL, np.random.default_rng(0))[0]


def test_one_run_is_welchs_two_sample_t(rows: pd.DataFrame) -> None:
    part = rows[(rows["run"] == 0) & (rows["train_set"] == "B")]
    test = crossed_of(part).test(GAP)
    dark, light = (part.loc[part["group"] == group, "mse"] for group in ("dark", "light"))
    assert test.se == pytest.approx(math.sqrt(dark.var(ddof=1) / len(dark) + light.var(ddof=1) / len(light)))
    assert test.covers == "images"
    assert "does not know how models differ" in test.note
    assert 2 < test.df <= len(dark) + len(light) - 2


def test_runs_of_the_same_images_have_the_variance_of_images_and_of_models() -> None:
    """Every run tests all images: images' part s^2 / n of the image means, models' part the variance of run means."""
    rng = np.random.default_rng(0)
    image, model, noise = rng.normal(0, 1, 40), rng.normal(0, 0.3, 5), rng.normal(0, 0.1, (40, 5))
    values = 10 + image[:, None] + model + noise
    frame = pd.DataFrame({"id": np.repeat([f"{i:02d}" for i in range(40)], 5), "run": np.tile(range(5), 40)})
    frame = frame.assign(group="dark", train_set="A", mse=values.ravel())
    of = crossed(means_of(frame), covariances_of(frame, ["mse"]), "mse", ["A"], ["dark"])
    test = of.test({("A", "dark"): 1.0})
    assert test.images == pytest.approx(values.mean(axis=1).var(ddof=1) / 40)
    runs = values.mean(axis=0).var(ddof=1)
    rest = (values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()).var() * 40 / 39 / 40
    assert test.models == pytest.approx((runs - rest * 5 / 4) / 5, rel=1e-6)


def test_models_that_do_not_differ_add_nothing_and_clusters_count_as_one(rows: pd.DataFrame) -> None:
    part = rows[rows["train_set"] == "B"]
    plain = crossed_of(part).test(GAP)
    assert plain.se**2 == pytest.approx(plain.images + plain.models)
    ids = sorted(part["id"].unique())
    assert crossed_of(part, {image: image for image in ids}).test(GAP) == plain
    doubled = pd.concat([part, part.assign(id="z" + part["id"])])
    pairs = {image: f"pair {image.removeprefix('z')}" for image in doubled["id"]}
    as_one = crossed_of(doubled, pairs).test(GAP)
    assert as_one.images == pytest.approx(plain.images)
    assert crossed_of(doubled).test(GAP).images == pytest.approx(plain.images / 2, rel=0.02)
    alone = crossed_of(part, {image: part["group"].iloc[0] for image in ids if image.startswith("d")}).test(GAP)
    assert alone.reason == "no interval and no test: the dark test images are one image or one cluster"
    assert math.isnan(alone.p())


def test_starts_differ_by_what_a_balanced_analysis_of_variance_says() -> None:
    """Within each run, starts crossed with images: (mean square of starts - that of the rest) / images."""
    rng, runs, starts, n = np.random.default_rng(0), 3, 4, 25
    values = (
        rng.normal(0, 1, (runs, 1, n)) + rng.normal(0, 0.3, (runs, starts, 1)) + rng.normal(0, 0.5, (runs, starts, n))
    )
    sums = StartSums(["dark"], ["mse"])
    for run in values:
        frame = pd.DataFrame({"id": [f"{i:02d}" for i in range(n)], "group": "dark", "train_set": "A"})
        sums.add([frame.assign(mse=start).sample(frac=1, random_state=1) for start in run])
    (row,) = sums.table().to_dict("records")
    means = values.mean(axis=2)
    rest = values - values.mean(axis=1, keepdims=True) - means[..., None] + means.mean(axis=1)[:, None, None]
    between, within = n * means.var(axis=1, ddof=1).mean(), (rest**2).sum() / (runs * (starts - 1) * (n - 1))
    assert row["total"] - row["images"] == pytest.approx((between - within) / n)
    assert row["images"] == pytest.approx(within / n)
    assert (row["n_runs"], row["n_starts"]) == (runs, starts)


def test_what_runs_share_comes_from_what_they_differ_by_beyond_their_starts() -> None:
    runs = {("A", "dark"): np.array([1.0, 1.2, 0.9, 1.1, 0.8])}
    cells = {("A", "dark"): 1.0}
    row = {"metric": "mse", "group": "dark", "train_set": "A", "other_group": "dark", "other_set": "A"}

    def test_of(shared: float, total: float = 0.06) -> CrossedTest:
        table = pd.DataFrame([row | {"total": total, "images": 0.01, "n_runs": 50, "n_starts": 2}])
        starts = starts_of(table, "mse", ["A"], ["dark"], {"A": shared})
        return crossed(runs, NO_IMAGES, "mse", ["A"], ["dark"], starts).test(cells)

    plain = crossed(runs, NO_IMAGES, "mse", ["A"], ["dark"]).test(cells)
    assert plain.models == pytest.approx(0.025 / 5)
    error = math.sqrt(2 * 0.025**2 / 4 + 2 * (0.06 / 2) ** 2 / 50)
    assert test_of(0.6).shared == pytest.approx(0.6 / 0.4 * (0.025 - (0.05 / 2 - error)))
    # Starts that hardly differ leave all that runs differ by to the training images: the bound without starts.
    assert test_of(0.6, 0.012).shared == pytest.approx(0.6 / 0.4 * 0.025)
    assert test_of(0.6, 0.012).se == pytest.approx(plain.sharing(0.6).se)
    # And starts that differ more than runs leave them nothing.
    assert test_of(0.6, 0.2).shared == 0
    assert test_of(0.6).se ** 2 == pytest.approx(plain.models + test_of(0.6).shared)
    assert test_of(0.6).covers == "images, runs and shared training images"
    assert test_of(0.0).se == plain.se
    for nothing_told in (1.0, math.nan):  # runs that differ in none of their training images, or one run
        assert test_of(nothing_told) == plain
        assert plain.covers == "images and runs"


def test_starts_of_a_run_are_averaged_image_by_image() -> None:
    run = pd.DataFrame({"train_set": "A", "compared_share": 0.0, "run": 0, "group": "dark", "id": ["a", "b"]})
    starts = [run.assign(mse=[1.0, 2.0], ita=[1.0, np.nan]), run.assign(mse=[3.0, 6.0], ita=[3.0, 4.0])]
    mean = mean_of_starts(starts, ["mse", "ita"])
    assert mean["mse"].tolist() == [2.0, 4.0]
    assert mean["ita"].iloc[0] == 2.0
    assert math.isnan(mean["ita"].iloc[1])
    with pytest.raises(UserError, match="the same test images in the evaluations of all starts"):
        mean_of_starts([starts[0], starts[1].assign(id=["a", "c"])], ["mse"])


def test_a_run_without_images_counts_nothing(rows: pd.DataFrame) -> None:
    sums, without = CrossedSums(PAIR, ["mse"]), CrossedSums(PAIR, ["mse"])
    for _, run in rows.groupby("run"):
        sums.add(run)
        without.add(run)
        without.add(run.head(0))
    pd.testing.assert_frame_equal(sums.table(), without.table())
    empty = CrossedSums(PAIR, ["mse"])
    empty.add(rows.head(0))
    assert empty.table().empty


def test_order_of_rows_and_runs_changes_no_bit(rows: pd.DataFrame) -> None:
    first = crossed_of(rows).test(GAP)
    assert crossed_of(rows.sample(frac=1, random_state=1)).test(GAP) == first


def test_training_sets_are_paired_by_image(rows: pd.DataFrame) -> None:
    """The change between two training sets is surer than two independent means, and images must be the same."""
    of = crossed_of(rows)
    change = of.test({("C", "dark"): 1.0, ("B", "dark"): -1.0})
    alone = [of.test({(name, "dark"): 1.0}) for name in ("B", "C")]
    assert change.images < 0.2 * (alone[0].images + alone[1].images)
    lost = rows[(rows["train_set"] != "C") | (rows["id"] != rows["id"].iloc[0])]
    with pytest.raises(UserError, match="expected the light test images of run 0"):
        covariances_of(lost, ["mse"])


def test_pooling_is_the_mean_variance_of_the_training_sets_unless_one_differs_more() -> None:
    """Relative to the means, with three times the degrees of freedom; without images nothing is subtracted."""
    rng = np.random.default_rng(2)
    scale = {"A": 1.0, "B": 2.0, "C": 4.0}
    runs = {(name, "dark"): size * (1 + 0.02 * rng.normal(size=6)) for name, size in scale.items()}
    relative = {name: np.var(runs[name, "dark"] / runs[name, "dark"].mean(), ddof=1) for name in scale}
    of = crossed(runs, NO_IMAGES, "mse", list(scale), ["dark"])
    test = of.test({("B", "dark"): 1.0})
    assert test.pooled
    assert test.models == pytest.approx(np.mean(list(relative.values())) * runs["B", "dark"].mean() ** 2 / 6)
    assert 12 < test.df <= 15
    wild = runs | {("B", "dark"): 2 * (1 + 0.5 * rng.normal(size=6))}
    own = crossed(wild, NO_IMAGES, "mse", list(scale), ["dark"]).test({("B", "dark"): 1.0})
    assert not own.pooled
    assert own.se == pytest.approx(stats.sem(wild["B", "dark"]))
    assert own.df == 5


def test_a_ratio_is_a_difference_of_logarithms(rows: pd.DataFrame) -> None:
    of = crossed_of(rows)
    test = of.test(GAP, log=True)
    assert test.mean == pytest.approx(
        math.log(of.test({("B", "dark"): 1.0}).mean / of.test({("B", "light"): 1.0}).mean)
    )
    scaled = crossed_of(rows.assign(mse=7 * rows["mse"])).test(GAP, log=True)
    assert (scaled.mean, scaled.se) == pytest.approx((test.mean, test.se))
    assert crossed_of(rows.assign(mse=rows["mse"] - 1)).test(GAP, log=True).reason == "no ratio: a mean is not positive"


def test_shared_training_images_widen_the_models_part_alone(rows: pd.DataFrame) -> None:
    """rho + (1 - rho) / R over (1 - rho) / R for the effects' variance, and nothing for one run."""
    test = crossed_of(rows).test(GAP)
    wide = test.sharing(0.6)
    runs = SMALL.runs
    assert wide.se**2 == pytest.approx(test.images + test.models * (0.6 + 0.4 / runs) / (0.4 / runs))
    assert test.sharing(1.0).se == math.inf


def test_what_more_runs_and_images_would_do(rows: pd.DataFrame) -> None:
    """As it is for as many; the models' part shrinks with the runs; what runs share of the images stays."""
    test = crossed_of(rows).test(GAP)
    same = test.projected(test.n, 1.0)
    assert (same.images, same.models) == pytest.approx((test.images, test.models))
    many = test.projected(10**6, 1.0)
    common = (test.n * test.images - test.within) / (test.n - 1)
    assert many.images + many.models == pytest.approx(common, rel=1e-4)
    assert test.projected(test.n, 2.0).images == pytest.approx(test.images - test.within / test.n / 2)


def test_power_of_own_runs_alone_is_the_non_central_t() -> None:
    test = Planned(5, 0.0, 0.4, 0.0, math.inf, 4)
    exact = 1 - stats.nct.cdf(stats.t.ppf(0.975, 4), 4, 3.0)
    assert test.power(3.0 * math.sqrt(0.4), 0.05, 2) == pytest.approx(exact, abs=0.005)
    assert test.power(test.detectable(0.05, 1), 0.05, 1) == pytest.approx(0.8)


@pytest.mark.parametrize("runs", [2, 4])
def test_promises_come_true(runs: int) -> None:
    """Of the smallest distance and of more runs; docs/calibration.md has more studies, and larger test sets."""
    found = promises(Truth(image=0.6, run=0.03, run_group=0.03, test_size=100, runs=runs), range(80))
    rates = found.groupby("promise")[["promised", "found"]].mean().loc[["detectable", "runs_needed"]]
    assert (rates["found"] - rates["promised"]).abs().max() < 0.1 + 2 * math.sqrt(0.16 / 80)


def test_the_fast_simulation_is_the_one_with_rows() -> None:
    rows, _ = simulate_study(SMALL, np.random.default_rng(3))
    fast = simulate_table(SMALL, np.random.default_rng(3))
    for metric in ("mse", "dl"):
        slow = crossed_of(rows, metric=metric).test(GAP)
        test = fast.crossed[metric].test(GAP)
        assert (test.mean, test.se, test.df) == pytest.approx((slow.mean, slow.se, slow.df))


def test_without_strata_the_adjusted_gap_is_the_gap(rows: pd.DataFrame) -> None:
    images, _ = error_totals(by_model(rows), PAIR)
    table = adjusted_gaps(images, by_run(rows), PAIR, None, SMALL.runs, 5, 0.05, 0.05)
    none = table[table["adjustment"] == "none"].set_index("train_set").loc["B"]
    test = crossed_of(rows).test(GAP)
    assert none["gap"] == pytest.approx(test.mean)
    assert (none["ci_low"], none["ci_high"]) == pytest.approx(test.interval(0.95), rel=1e-6)
    of_condition = table[table["adjustment"] == "condition"].set_index("train_set").loc["B"]
    assert of_condition["ci_low"] < of_condition["gap"] < of_condition["ci_high"]


@pytest.mark.parametrize("truth", [Truth(image=0.6, runs=3, n_light=1500), Truth(image=0.6, runs=8, test_size=100)])
def test_planned_power_comes_true_and_a_pilot_gives_its_components_back(truth: Truth) -> None:
    size = Size(truth.runs, truth.test_size, (truth.n_light, truth.n_dark), 3)
    of = Components(truth.image, truth.run, truth.run_group, truth.noise)
    test = planned("C2", size, of)
    distance = test.detectable(0.05, 2)
    tables = [simulate_table(truth, np.random.default_rng(seed), ["mse"]) for seed in range(80)]
    found = [table.crossed["mse"].test(GAP, log=True).p(-distance) < 0.05 for table in tables]
    assert np.mean(found) == pytest.approx(0.8, abs=0.1 + 2 * math.sqrt(0.16 / 80))
    pilots = [pilot_components(table) for table in tables]
    assert np.mean([pilot.image for pilot in pilots]) == pytest.approx(truth.image, rel=0.05)
    if truth.test_size == 500:  # with fewer images that of the models is often 0 and seldom large
        for name, true in (("model_group", truth.run_group), ("model", truth.run)):
            squares = [getattr(pilot, name) ** 2 for pilot in pilots]
            assert np.mean(squares) == pytest.approx(true**2, rel=0.6)


def test_a_plan_says_what_doubling_buys() -> None:
    of = Components(0.6, 0.03, 0.03, 0.1)
    size = Size(10, 500, (7755, 2168), 3)
    table = plan_table(size, of, 0.05).set_index(["design", "claims"])["ratio"]
    assert (table["as configured"] > table["twice the runs"]).all()
    assert (table["twice the runs"] > table["four times the runs"]).all()
    assert (table["as configured"] > table["twice the test images"]).all()
    assert table["twice the starts"]["C1"] < table["as configured"]["C1"]
    # What shared training images may do is paid for, and more where runs share more of them.
    shared = plan_table(replace(size, starts=2, shared=0.5), of, 0.05).set_index(["design", "claims"])["ratio"]
    assert (shared["as configured"] > table["twice the starts"]).all()
    small = plan_table(Size(10, 1500, (7755, 2168), 3), of, 0.05)
    assert "twice the test images" not in set(small["design"])  # more than the dark pool holds


def test_degrees_of_freedom_are_one_at_least() -> None:
    """Runs differ by hardly more than their images explain: what is left is small and uncertain, not boundless."""
    runs, explained = np.array([[1.0, 1.0], [1.0, 1.2]]), 0.0199  # of a variance of the gaps of 0.02
    between = np.diag([0.0, explained])
    few = Crossed(("A",), ("light", "dark"), runs, np.diag([1e-6, 1e-6]), between, between, np.array([50.0, 50.0]))
    test = few.test({("A", "dark"): 1.0, ("A", "light"): -1.0})
    assert test.df == 1.0
    assert test.models == pytest.approx((0.02 - explained) / 2)
    assert np.isfinite(test.interval(0.95)).all()
