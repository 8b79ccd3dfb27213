"""Any small study goes through every table without an exception, and each number that is missing has its reason."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from simulated import GROUPS, PAIR, covariances_of

from evenhand.evaluation.measures import CONTROLS, MEASURES, PRINCIPAL, SCORES_OF
from evenhand.splits.groups import TrainSet
from evenhand.stats.claims import run_claims
from evenhand.stats.gaps import gap_table, run_table, size_ratios, sweep_table
from evenhand.stats.image_claims import adjusted_claim, colour_claim
from evenhand.stats.models import model_gaps
from evenhand.stats.rows import by_model, by_run
from evenhand.stats.strata import adjusted_gaps
from evenhand.stats.subsets import parts_of, subset_means, subset_table
from evenhand.stats.summary import (
    RUN_METRICS,
    condition_table,
    error_totals,
    headline_table,
    pooled_conditions,
    sort_by_design,
    summarise,
)
from evenhand.stats.tone import (
    AXES,
    QUANTITIES,
    colour_run_means,
    colour_table,
    describe_samples,
    sample_table,
    tone_curves,
    tone_slopes,
    tone_totals,
)
from evenhand.stats.uncertainty import uncertainty_table, with_other_sets
from evenhand.stats.verdicts import Rules, verdict_table

RULES = Rules(0.1, 2, 0.05, 0.05, 0.25, 0.07, 2.3, 0.05)
ON_SKIN = [name for name, measure in MEASURES.items() if measure.needs == "skin" and name != "skin_share"]
# Empty by what the table says in the same row, as schemas/tables.yaml tells: a query that finds those rows.
STATED = {
    ("headline", "sd"): "n_runs == 1",
    ("conditions", "sem"): "n_images == 1",
    ("gaps", "margin"): f"metric not in {PRINCIPAL}",
    ("gaps", "p_tost"): f"metric not in {PRINCIPAL}",
    ("gaps", "p_holm"): f"metric not in {PRINCIPAL}",
    ("colour", "p"): "quantity == 'ciede2000'",
    ("sweep", "p"): "quantity == 'crossing'",
    ("claims", "null_value"): "verdict == 'not testable'",
    ("claims", "margin"): "verdict == verdict",  # not declared
    ("claims", "p_holm"): "verdict == 'not testable'",
    ("claims", "detectable"): "verdict == 'not testable'",
    # Empty where the verdict needs nothing, or more than is looked at.
    ("claims", "runs_needed"): "verdict == verdict",
    ("claims", "images_needed"): "verdict == verdict",
}


@dataclass(frozen=True)
class Study:
    """A small study: sizes, and how labels, sources, errors, skin and duplicates are laid out."""

    shares: tuple[float, ...] = (0.0, 1.0)
    runs: int = 2
    pool: tuple[int, int] = (8, 8)
    tested: int = 6
    labels: str = "random"
    sources: str = "random"
    errors: str = "random"
    skin: str = "all"
    clusters: str = "none"
    seed: int = 0


def laid_out(kind: str, images: pd.DataFrame, rng: np.random.Generator) -> list[str]:
    """A word for each image: one for all, one per group, one per image, or one of three at random."""
    if kind == "one":
        return ["x"] * len(images)
    if kind == "group":
        return ["x" if group == "light" else "y" for group in images["group"]]
    return list(images["id"]) if kind == "own" else list(rng.choice(["x", "y", "z"], len(images)))


def made_up(study: Study) -> pd.DataFrame:
    """The evaluations of a study in one table."""
    rng = np.random.default_rng(study.seed)
    hashes = [f"{group[0]}{i}" for group, n in zip(PAIR, study.pool, strict=True) for i in range(n)]
    images = pd.DataFrame({"id": hashes})
    images["group"] = np.where(images["id"].str[0] == "l", "light", "dark")
    images["condition"] = laid_out(study.labels, images, rng)
    images["source"] = laid_out(study.sources, images, rng)
    images["skin_type"] = np.where(images["group"] == "light", 1, 5)
    images["second_skin_type"] = rng.choice([1, 5], len(images))
    images["tone"] = (
        rng.choice([10.0, 20.0, 30.0], len(images)) if study.skin == "tied" else rng.normal(size=len(images))
    )
    parts = []
    for run in range(study.runs):
        for share in study.shares:
            for group in PAIR:
                pool = images[images["group"] == group]
                # The test sets of a run are the same for all training sets.
                chosen = np.random.default_rng([study.seed, run]).permutation(len(pool))[: study.tested]
                parts.append(pool.iloc[chosen].assign(train_set=f"set {share:g}", compared_share=share, run=run))
    rows = pd.concat(parts, ignore_index=True)
    for measure in MEASURES:
        rows[measure] = np.exp(rng.normal(size=len(rows)))
    dark = rows["group"] == "dark"
    if study.errors == "constant":
        rows[list(RUN_METRICS)] = 0.05
    elif study.errors == "by group":
        rows["mse"] = np.where(dark, 0.07, 0.05)
    elif study.errors == "by condition":
        rows["mse"] = 0.01 * (1 + pd.factorize(rows["condition"])[0])
    elif study.errors == "by run":
        rows["mse"] = 0.01 * (1 + rows["run"])
    elif study.errors == "one zero":
        rows.loc[0, "mse"] = 0.0
    elif study.errors == "zero":
        rows["mse"] = 0.0
    elif study.errors == "light zero":
        rows.loc[~dark, list(RUN_METRICS)] = 0.0
    rows["ita_in"], rows["ita_out"] = rows["tone"], rows["tone"] + 0.1 * rng.normal(size=len(rows))
    rows["ita_shift"] = rows["ita_out"] - rows["ita_in"]
    without = {"none": rows["run"] >= 0, "no dark": dark, "one run": rows["run"] == 0}
    rows.loc[without.get(study.skin, rows["run"] < 0), [*ON_SKIN, "ita_shift"]] = np.nan
    return rows


def design_of(study: Study) -> pd.DataFrame:
    return pd.DataFrame(
        {"train_set": [f"set {share:g}" for share in study.shares], "compared_share": study.shares}
        | {"reference_share": [1 - share for share in study.shares]}
        | {"distinct": 10.0, "test_size": study.tested, "shared": 0.5 if study.runs > 1 else np.nan}
    )


def every_table(study: Study) -> dict[str, pd.DataFrame]:
    """What the scripts of the stage make of it."""
    rows, design, rng = made_up(study), design_of(study), np.random.default_rng(0)
    ratios, alpha = size_ratios(design), RULES.alpha
    train_sets = [TrainSet(f"set {share:g}", {"light": 1 - share, "dark": share}) for share in study.shares]
    clusters = {
        "none": None,
        "one": {image: image[0] for image in rows["id"]},
        "light": {image: "l" for image in rows["id"] if image[0] == "l"},
    }[study.clusters]
    runs, images = summarise(by_model(rows), PAIR)
    table = run_table(runs, covariances_of(rows, RUN_METRICS, clusters=clusters), design, PAIR, RUN_METRICS)
    gaps = gap_table(table, RUN_METRICS, PRINCIPAL, alpha, {"latent_std": 0.05, "mse": 0.05})
    totals = error_totals(by_model(rows), PAIR)
    tones, slopes = tone_totals(by_model(rows), PAIR)
    colour_runs = sort_by_design(pd.concat([colour_run_means(model, PAIR) for model in by_model(rows)]), PAIR, ["run"])
    parts = [parts_of(run, GROUPS) for run in by_run(rows)]
    of_parts = {
        name: covariances_of(pd.concat([part[name] for part in parts if name in part]), PRINCIPAL, clusters=clusters)
        for name in {name for part in parts for name in part}
    }
    means = pd.concat([subset_means(part, PRINCIPAL) for part in parts])
    of_colours = covariances_of(rows, QUANTITIES, clusters=clusters)
    samples = rows.assign(sample_of=np.where(rows.index % 2, "prior", "training"), ita=rows["ita_in"])
    first = rows[rows["run"] == 0]
    first = first.assign(
        **dict.fromkeys(SCORES_OF["models"], np.where(rng.random(len(first)) < 0.3, np.nan, first["kl"]))
    )
    scores = [*CONTROLS, *SCORES_OF["evaluation"], *SCORES_OF["sets"]]
    found = {
        "runs": runs,
        "headline": headline_table(runs, images),
        "conditions": condition_table(images, PAIR),
        "pooled_conditions": pooled_conditions(images, runs, PAIR, 1 - alpha),
        "gaps": gaps,
        "adjusted": adjusted_gaps(totals[0], by_run(rows), PAIR, clusters, study.runs, 2, alpha, RULES.vanishing),
        "models": model_gaps(*totals, by_run(rows), PAIR, 1 - alpha),
        "sweep": pd.concat([sweep_table(table, metric, alpha) for metric in PRINCIPAL]),
        "colour_runs": colour_runs,
        "colour": colour_table(colour_runs, of_colours, PAIR, alpha),
        "tone_curves": tone_curves(tones, 1 - alpha),
        "tone_slopes": tone_slopes(tones, slopes, PAIR, ratios, alpha),
        "samples": sample_table(pd.concat([describe_samples(model) for model in by_model(samples)]), ratios, alpha),
        "subsets": subset_table(means, of_parts, PAIR, PRINCIPAL, alpha),
        "uncertainty": pd.concat(
            [
                uncertainty_table(
                    map(with_other_sets, by_run(rows)), PAIR, train_sets, scores, CONTROLS, clusters, alpha
                ),
                uncertainty_table([first], PAIR, train_sets, SCORES_OF["models"], CONTROLS, clusters, alpha),
            ]
        ),
    }
    colours = run_table(colour_runs, of_colours, design, PAIR, AXES, partial=True)
    cases = [*run_claims(table, RULES), colour_claim(colours, PAIR, RULES)]
    cases.append(adjusted_claim(table, found["adjusted"], RULES))
    return found | {"claims": verdict_table(cases, alpha, RULES.min_runs)}


def unexplained(name: str, table: pd.DataFrame) -> list[str]:
    """The columns of a table in which a number is missing without a reason in its row."""
    reason = pd.Series("", index=table.index)
    for column in ("note", "warnings"):
        if column in table:
            reason += table[column].fillna("").astype(str)
    if name == "claims":
        reason += table["sentence"].where(table["sentence"].str.contains("Not tested: "), "")
    lost = []
    for column in table.select_dtypes("number"):
        missing = table[table[column].isna() & (reason == "")]
        if (name, column) in STATED:
            missing = missing.drop(missing.query(STATED[name, column]).index)
        lost += [column] * bool(len(missing))
    return lost


KINDS = st.sampled_from(["one", "group", "own", "random"])
STUDIES = st.builds(
    Study,
    shares=st.sampled_from([(0.0, 0.5, 1.0), (0.5,), (0.0, 1.0), (0.0, 0.3, 0.6, 1.0)]),
    runs=st.integers(1, 3),
    pool=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    tested=st.integers(1, 12),
    labels=KINDS,
    sources=KINDS,
    errors=st.sampled_from(
        ["random", "constant", "by group", "by condition", "by run", "one zero", "zero", "light zero"]
    ),
    skin=st.sampled_from(["all", "tied", "none", "no dark", "one run"]),
    clusters=st.sampled_from(["none", "one", "light"]),
    seed=st.integers(0, 1000),
)


@settings(max_examples=3, deadline=None)
@given(STUDIES)
@example(Study(sources="group"))
@example(Study(labels="one", pool=(20, 20), tested=12, runs=3))
@example(Study(labels="group", sources="one"))
@example(Study(labels="own"))
@example(Study(errors="constant"))
@example(Study(errors="zero"))
@example(Study(errors="by condition", pool=(20, 20), tested=12))
@example(Study(pool=(1, 1), runs=1, shares=(0.5,)))
@example(Study(clusters="one"))
@example(Study(skin="none"))
def test_any_study_has_every_table_and_a_reason_for_what_is_missing(study: Study) -> None:
    check(study)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(STUDIES)
def test_many_studies_have(study: Study) -> None:
    check(study)


def check(study: Study) -> None:
    """Every table of the study is there and says why numbers are missing, and none is made up."""
    tables = every_table(study)
    assert {name: lost for name, table in tables.items() if (lost := unexplained(name, table))} == {}
    sets = {f"set {share:g}" for share in study.shares}
    for name, table in tables.items():
        if "train_set" in table:  # none vanishes
            assert set(table["train_set"]) == sets, name
        for column in table.columns.intersection(["p", "p_holm", "p_vanish", "p_tost"]):
            assert not (table[column] <= 0).any(), (name, column)  # certainty from no variation
        if "ci_low" in table:
            assert (table["ci_low"].isna() == table["ci_high"].isna()).all(), name
            assert not (table["ci_high"] - table["ci_low"] == 0).any(), name  # an interval without width is none
    claims = tables["claims"]
    assert ((claims["verdict"] == "not testable") == claims["p"].isna()).all()


LARGE = {"pool": (20, 20), "tested": 12, "runs": 3}


def test_group_and_source_that_coincide_are_no_fit() -> None:
    """Least squares would still give a number, the one of least norm: half of the gap, half of the source."""
    models = every_table(Study(sources="group", **LARGE))["models"]
    assert models[["ratio", "ci_low", "se_log", "p"]].isna().all(axis=None)
    assert models["warnings"].str.startswith("no fit: group").all()


def test_group_and_condition_that_coincide_are_no_fit() -> None:
    models = every_table(Study(labels="group", sources="one", **LARGE))["models"]
    assert models["ratio"].isna().all()
    assert models["warnings"].str.contains("condition").all()


def test_with_one_condition_and_source_the_models_are_a_difference_of_means() -> None:
    study = Study(shares=(0.5,), labels="one", sources="one", runs=1, pool=(20, 20), tested=12)
    models = every_table(study)["models"].set_index("model")
    rows = made_up(study)
    logs = {group: np.log(rows.loc[rows["group"] == group, "mse"]) for group in PAIR}
    gap = logs["dark"].mean() - logs["light"].mean()
    assert np.log(models["ratio"]).tolist() == pytest.approx([gap, gap])
    pooled = (logs["light"].var(ddof=1) + logs["dark"].var(ddof=1)) / 2
    assert models.loc["mixed model", "se_log"] == pytest.approx(np.sqrt(pooled * 2 / 12))
    assert "taken as 0" in models.loc["mixed model", "warnings"]


def test_an_error_of_zero_has_no_logarithm_and_is_named() -> None:
    study = Study(errors="one zero", **LARGE)
    tables = every_table(study)
    assert tables["models"]["warnings"].str.contains(f"such as {made_up(study)['id'].iloc[0]}").all()
    assert tables["adjusted"].set_index("adjustment").loc["none", "gap"].notna().all()


def test_claims_on_numbers_that_are_missing_are_not_testable_and_leave_the_others_alone() -> None:
    sound = every_table(Study(**LARGE))["claims"].set_index("claim")
    lost = every_table(Study(skin="no dark", **LARGE))["claims"].set_index("claim")
    assert "no skin was found on any dark test image" in lost.loc["C9", "sentence"]
    none_left = every_table(Study(shares=(0.0, 0.5, 1.0), clusters="one", **LARGE))["claims"].set_index("claim")
    assert none_left.loc["C11", "verdict"] == "not testable"
    assert "one image or one cluster" in none_left.loc["C11", "sentence"]
    assert lost.loc["C9", "verdict"] == "not testable"
    tested = sound.index[sound["verdict"] != "not testable"].drop("C9", errors="ignore")
    assert len(tested) > 2
    assert lost.loc[tested, "p"].tolist() == sound.loc[tested, "p"].tolist()
