"""Summaries and verdicts from tables of folds whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from evenhand.probes.claims import probe_claims
from evenhand.probes.left_out import COLUMNS, count_warnings
from evenhand.probes.tables import contrast_table, contrast_units, curve_table, poster_table, run_ratios, set_table
from evenhand.workflow.errors import UserError

SPREAD = np.array([-0.002, -0.001, 0.0, 0.001, 0.002])


def folds(
    full: float = 0.9,
    top: float = 0.895,
    random: float = 0.896,
    disease: tuple[float, float] = (0.8, 0.799),
    train_set: str = "",
    run: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """Five folds; top and random removal of half of the features, two draws apart by 0.002."""
    rng = np.random.default_rng(seed)
    common = {"source": "s", "dataset": "D", "model": "M", "train_set": train_set, "run": run, "attribute": "Sex"}
    rows = []
    for fold, spread in enumerate(SPREAD):
        noise = rng.normal(scale=1e-4, size=6)
        values = [
            ("Sex", "attribute", "none", 0.0, 0, full),
            ("Sex", "attribute", "top", 0.5, 0, top),
            ("Sex", "attribute", "random", 0.5, 0, random - 0.001),
            ("Sex", "attribute", "random", 0.5, 1, random + 0.001),
            ("Disease", "disease", "none", 0.0, 0, disease[0]),
            ("Disease", "disease", "top", 0.5, 0, disease[1]),
        ]
        for (target, role, removal, fraction, draw, auc), jitter in zip(values, noise, strict=True):
            rows.append(
                common
                | {"target": target, "role": role, "probe": "mlp", "removal": removal, "fraction": fraction}
                | {"removed": int(64 * fraction), "draw": draw, "fold": fold, "folds": 5}
                | {"auc": auc + spread + jitter, "macro_f1": 0.7, "n_test": 20 + fold}
                | {"classes_scored": 1, "not_scored": ""}
            )
    return pd.DataFrame(rows)


def counts() -> pd.DataFrame:
    """Of 130 rows 110 have a label, in five folds of 20 to 24; `Disease` has a label without an AUC."""
    rows = [
        ("(all)", "", "(rows)", 130, "", "", ""),
        ("(all)", "", "(left out)", 7, "", "", "rows without an embedding"),
        ("(all)", "", "(kept together)", 90, "", "", "images of one patient"),
        ("Sex", "binary", "M", 60, "", "", ""),
        ("Sex", "binary", "(left out)", 15, "sex", "U", "not listed in values"),
        ("Sex", "binary", "(left out)", 5, "sex", "", "empty"),
        ("Disease", "multilabel", "No Finding", 9, "", "", "all 9 rows with a label are 1, none is 0"),
    ]
    return pd.DataFrame(rows, columns=COLUMNS).assign(source="s", train_set="", run=0)


def test_posters_layout() -> None:
    beside = ["Images", "Left out", "Not scored", "Kept together"]
    table = poster_table(folds(), counts(), [0.0, 0.5])
    assert table.columns.tolist() == ["Dataset", "Model", "Training set", "Attribute", "Task", *beside, "0%", "50%"]
    assert table.Task.tolist() == ["Sex", "Disease*"]
    assert table["0%"].tolist() == ["90.0 ± 0.2", "80.0 ± 0.2"]  # the sample SD of SPREAD is 0.00158
    assert table["50%"].tolist() == ["89.5 ± 0.2", "79.9 ± 0.2"]


def test_tables_of_no_probe_have_the_columns_of_others() -> None:
    """No target may be there in the data: which have one is known only when they are read."""
    some, none = folds(), folds()[:0]
    for table in (
        lambda found: poster_table(found, counts(), [0.0, 0.5]),
        lambda found: curve_table(found, run_ratios(found, {}, ()), 0.05),
        lambda found: contrast_table(contrast_units(found, {}), 0.05),
        lambda found: set_table(found, {}, 0.05),
    ):
        assert table(none).columns.tolist() == table(some).columns.tolist()
        assert len(table(none)) == 0


def test_what_is_left_out_stands_beside_the_number() -> None:
    scores = folds().assign(not_scored=lambda table: np.where(table.target == "Disease", "No Finding", ""))
    scores.loc[(scores.fold == 2) & (scores.target == "Disease"), "not_scored"] += "; Edema"
    sex, disease = poster_table(scores, counts(), [0.0, 0.5]).to_dict("records")
    assert sex["Images"] == "110"
    assert sex["Left out"] == "20 of 130 (sex U: 15, sex (empty): 5); 7 rows without an embedding"
    assert sex["Not scored"] == ""
    assert sex["Kept together"] == "images of one patient (90 groups)"
    assert disease["Not scored"] == (
        "No Finding (all 9 rows with a label are 1, none is 0, in 5 of 5 folds); "
        "Edema (only one class among its rows, in 1 of 5 folds)"
    )


def test_runs_that_differ_are_shown_as_a_range() -> None:
    scores = pd.concat([folds(), folds(run=1).assign(n_test=20)])
    both = pd.concat([counts(), counts().assign(run=1)])
    row = poster_table(scores, both, [0.0, 0.5]).iloc[0]
    assert (row["Images"], row["Left out"].split(";")[0]) == ("100 to 110", "20 to 30 of 130")


def test_what_bears_on_the_numbers_is_a_warning() -> None:
    nothing = ("(all)", "", "(kept together)", 9, "", "", "nothing; images of one patient may be in training and test")
    table = pd.concat([counts(), pd.DataFrame([nothing], columns=COLUMNS).assign(source="t")])
    assert [text for text in count_warnings(table) if text] == [
        "s: rows without an embedding are left out",
        "s, Sex: cells of sex that `values` does not list are left out, such as 'U'",
        "s, Disease: No Finding is not scored: all 9 rows with a label are 1, none is 0",
        "t: kept together is nothing; images of one patient may be in training and test",
    ]


def test_the_band_is_the_range_of_the_draws() -> None:
    row = curve_table(folds(), {}, 0.05).query("removal == 'random'").iloc[0]
    assert row.band_low == pytest.approx(0.895, abs=2e-4)
    assert row.band_high == pytest.approx(0.897, abs=2e-4)
    assert row.mean_auc == pytest.approx(0.896, abs=2e-4)
    assert row.n_images == 20 + 21 + 22 + 23 + 24  # each image once, though two draws score it


def test_images_are_counted_by_run() -> None:
    table = curve_table(pd.concat([folds(), folds(run=1)]), {("s", ""): 0.3}, 0.05)
    assert set(table.n_images) == {110}


def test_contrasts_are_paired_by_fold() -> None:
    """The spread over folds is common to both sides: unpaired the interval would be ten times as wide."""
    table = contrast_table(contrast_units(folds(), {}), 0.05).set_index(["target", "contrast"])
    row = table.loc[("Sex", "top-minus-random")]
    assert row.estimate == pytest.approx(-0.001, abs=2e-4)
    assert row.ci_high - row.ci_low < 1e-3
    assert row.unit == "fold"
    assert table.loc[("Sex", "drop")].estimate == pytest.approx(0.005, abs=2e-4)


def test_interval_over_runs_has_the_factor_of_nadeau_and_bengio() -> None:
    tables = pd.concat([folds(full=0.9 + 0.01 * run, train_set="A", run=run, seed=run) for run in range(3)])
    row = contrast_table(contrast_units(tables, {("s", "A"): 0.3}), 0.05).query(
        "contrast == 'chance' and target == 'Sex'"
    )
    per_run = tables.query("target == 'Sex' and removal == 'none'").groupby("run").auc.mean()
    half = 4.30265 * per_run.std() * np.sqrt(1 / 3 + 0.3)  # t of 2 degrees of freedom at 0.975
    assert row.unit.item() == "run"
    assert row.ci_high.item() - row.estimate.item() == pytest.approx(half, rel=1e-4)


def test_runs_that_share_nearly_all_their_images_count_for_little_more_than_one() -> None:
    """Of 2,000 images 400 train: two runs score 1,600 each, of which they have 80 % in common: 0.8 / 0.2."""
    tables = pd.concat([folds(train_set="A", run=run).assign(n_test=320) for run in range(3)])
    assert run_ratios(tables, {"A": (100, 400)}, {"s"}) == {("s", "A"): 0.8 / 0.2}
    assert run_ratios(tables, {"A": (100, 400)}, set()) == {("s", "A"): 0.25}
    assert run_ratios(folds(), {}, set()) == {}  # files: no training sets, and folds are the units


def verdicts(**changes: object) -> dict[str, str]:
    table = probe_claims(contrast_units(folds(**changes), {}), [], 0.01, 0.05, 3)  # type: ignore[arg-type]
    assert table.sentence.str.contains("can be decoded, not that a model uses it").all()
    return dict(zip(table.claim, table.verdict, strict=True))


def test_verdicts_of_planted_truths() -> None:
    assert verdicts() == dict.fromkeys(["P1", "P2", "P3", "P4"], "supported")
    assert verdicts(top=0.7)["P2"] == "contradicted"
    assert verdicts(top=0.7)["P4"] == "contradicted"  # removal of the best costs more than random removal
    assert verdicts(top=0.7, random=0.7)["P4"] == "supported"
    assert verdicts(disease=(0.8, 0.83))["P3"] == "contradicted"  # better is a change, too
    assert verdicts(full=0.5)["P1"] == "inconclusive"


def test_without_random_removal_redundancy_is_not_testable() -> None:
    table = folds().query("removal != 'random'")
    claims = probe_claims(contrast_units(table, {}), [], 0.01, 0.05, 3).set_index("claim")
    assert claims.loc["P4", "verdict"] == "not testable"
    assert "probe.random_draws" in claims.loc["P4", "sentence"]


def test_controls_are_no_claim_about_people() -> None:
    claims = probe_claims(contrast_units(folds(), {}), ["Sex"], 0.01, 0.05, 3)
    assert set(claims.verdict) == {"not testable"}


def test_training_sets_are_compared_by_run() -> None:
    tables = pd.concat(
        [
            folds(full=level + 0.01 * run, train_set=name, run=run, seed=run)
            for name, level in (("A", 0.8), ("C", 0.85))
            for run in range(4)
        ]
    )
    with pytest.raises(UserError, match=r"training set 'C' share images.*known are A of s"):
        set_table(tables, {("s", "A"): 0.3}, 0.05)
    with pytest.raises(UserError, match=r"training set 'A' share images.*known are none"):
        contrast_units(tables, {})
    row = set_table(tables, {("s", "A"): 0.3, ("s", "C"): 0.3}, 0.05)
    assert row.contrast.tolist() == ["C minus A"]
    assert row.estimate.item() == pytest.approx(0.05, abs=3e-4)


def test_a_probe_that_is_always_right_does_not_make_the_claim_untestable() -> None:
    perfect = folds().assign(source="t", auc=1.0)
    claims = probe_claims(contrast_units(pd.concat([folds(), perfect]), {}), [], 0.01, 0.05, 3)
    assert dict(zip(claims.claim, claims.verdict, strict=True)) == dict.fromkeys(["P1", "P2", "P3", "P4"], "supported")
    alone = probe_claims(contrast_units(perfect, {}), [], 0.01, 0.05, 3)
    assert set(alone.verdict) == {"not testable"}
