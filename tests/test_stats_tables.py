"""Summary, gap and verdict tables on small hand-made studies and on simulated ones with a known truth."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import adjust_gaps
import compare_samples
import compare_subsets
import estimate_gaps
import estimate_sweep
import judge_claims
import measure_colour
import score_uncertainty
import summarise_metadata
import summarise_runs
from fairgen.errors import UserError
from fairgen.files import write_csv, write_parquet
from fairgen.stats.claims import run_claims
from fairgen.stats.gaps import gap_table, run_table
from fairgen.stats.rows import read_evaluation
from fairgen.stats.rules import rules_from
from fairgen.stats.simulate import Truth, simulate_study
from fairgen.stats.summary import condition_table, headline_table, run_means, summarise
from fairgen.stats.verdicts import verdict_table

ROOT = Path(__file__).parents[1]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())["stats"] | {"resamples": 200}
RULES = rules_from(CONFIG)


def small_rows(run: int, mse: list[float]) -> pd.DataFrame:
    """Two light images (i0, i1) and two dark ones (i2, i3) with the given errors."""
    return pd.DataFrame(
        {
            "train_set": "B",
            "dark_share": 0.5,
            "run": run,
            "group": ["light", "light", "dark", "dark"],
            "md5hash": ["i0", "i1", "i2", "i3"],
            "label": ["acne", "psoriasis", "acne", "acne"],
            "mse": mse,
            "mse_unit": np.array(mse) / 4,
            "latent_std": [0.8, 0.8, 0.9, 0.7],
            "kl": [10.0, 20.0, 30.0, 50.0],
            **dict.fromkeys(("psnr", "ssim", "mse_over_var", "perceptual"), 0.0),
        }
    )


def runs_of(means: dict[tuple[str, float], dict[str, dict[str, np.ndarray]]]) -> pd.DataFrame:
    """A runs table from {(train_set, share): {group: {metric: one number per run}}}."""
    rows = []
    for (train_set, share), groups in means.items():
        for group, metrics in groups.items():
            for run in range(len(next(iter(metrics.values())))):
                rows.append(
                    {"train_set": train_set, "dark_share": share, "run": run, "group": group, "n_images": 500}
                    | {metric: values[run] for metric, values in metrics.items()}
                )
    return pd.DataFrame(rows)


def design_of(runs: pd.DataFrame) -> pd.DataFrame:
    return runs[["train_set", "dark_share"]].drop_duplicates().assign(distinct=1668.0)


JITTER = np.array([-1.0, 1.0, 0.5, -0.5, 0.0, 0.3, -0.3, 0.8, -0.8, 0.1]) * 1e-3


def paper_runs(
    n: int = 10, jitter: float = 1.0, mse: dict[tuple[str, float], tuple[float, float]] | None = None
) -> pd.DataFrame:
    """A study in which all claims on MSE hold by far."""
    mse = {("A", 0.0): (0.040, 0.065), ("B", 0.5): (0.045, 0.055), ("C", 1.0): (0.053, 0.044)} | (mse or {})
    std = {("A", 0.0): 0.80, ("B", 0.5): 0.75, ("C", 1.0): 0.70}
    means = {}
    for i, key in enumerate(mse):
        light, dark = mse[key]
        wobble = jitter * np.roll(JITTER, i)[:n]
        means[key] = {
            "light": {"mse": light + wobble, "latent_std": std[key] + wobble, "kl": 100 + wobble},
            "dark": {
                "mse": dark + jitter * np.roll(JITTER, i + 4)[:n],
                "latent_std": std[key] + jitter * np.roll(JITTER, i + 2)[:n],
                "kl": 120 - wobble,
            },
        }
    return runs_of(means)


def judged(runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    table = run_table(runs, design_of(runs), ["mse", "latent_std", "kl"])
    gaps = gap_table(table, ["mse", "latent_std", "kl"], ["mse", "latent_std"], RULES.alpha, {"latent_std": 0.05})
    return verdict_table(run_claims(table, gaps, RULES), RULES.alpha, RULES.min_runs).set_index("claim"), gaps


def test_run_means_by_hand() -> None:
    table = run_means(small_rows(0, [1.0, 3.0, 5.0, 9.0])).set_index("group")
    assert table.loc["light", "mse"] == 2.0
    assert table.loc["dark", "mse"] == 7.0
    assert table.loc["dark", "kl"] == 40.0
    assert table["n_images"].tolist() == [2, 2]


def test_headline_and_conditions_by_hand() -> None:
    runs, images = summarise([small_rows(0, [1.0, 3.0, 5.0, 9.0]), small_rows(1, [3.0, 3.0, 5.0, 7.0])])
    headline = headline_table(runs, images).set_index(["group", "metric"])
    # dark run means 7 and 6: mean 6.5, SD sqrt(1/2)
    assert headline.loc[("dark", "mse"), "mean"] == 6.5
    assert headline.loc[("dark", "mse"), "sd"] == pytest.approx(math.sqrt(0.5))
    assert headline.loc[("dark", "mse"), ["n_runs", "n_images", "n_rows"]].tolist() == [2, 2, 4]
    conditions = condition_table(images).set_index(["label", "group"])
    # images i2 (5, 5) and i3 (9, 7): mean 6.5; summed deviations -3 and +3; sqrt(2/1 * 18) / 4 = 1.5
    assert conditions.loc[("acne", "dark"), "mse"] == 6.5
    assert conditions.loc[("acne", "dark"), "sem"] == pytest.approx(1.5)
    assert conditions.loc[("acne", "dark"), ["n_images", "n_rows"]].tolist() == [2, 4]
    assert math.isnan(conditions.loc[("psoriasis", "light"), "sem"])


def test_condition_standard_error_is_cluster_robust() -> None:
    """Against statsmodels: intercept-only regression with clusters of images that recur unequally often."""
    import statsmodels.formula.api as smf

    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"md5hash": rng.choice(list("abcdefg"), 40)})
    rows["mse"] = rng.normal(size=40) + rows["md5hash"].map(dict(zip("abcdefg", rng.normal(size=7), strict=True)))
    index = ["train_set", "dark_share", "label", "group", "md5hash"]
    rows = rows.assign(train_set="A", dark_share=0.0, label="acne", group="dark", n=1, total=rows["mse"])
    table = condition_table(rows[[*index, "n", "total"]].groupby(index).sum())
    fit = smf.ols("mse ~ 1", rows).fit()
    robust = fit.get_robustcov_results("cluster", groups=rows["md5hash"], use_correction=False)
    k = rows["md5hash"].nunique()
    assert table["mse"].iloc[0] == pytest.approx(fit.params.iloc[0])
    assert table["sem"].iloc[0] == pytest.approx(robust.bse[0] * math.sqrt(k / (k - 1)))


def test_reading_refuses_nan_and_names_the_image(tmp_path: Path) -> None:
    write_parquet(small_rows(0, [1.0, np.nan, 5.0, 9.0]), tmp_path / "e.parquet")
    with pytest.raises(UserError, match=r"mse: expected finite numbers.*i1"):
        read_evaluation(tmp_path / "e.parquet", ["mse"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.drop(columns="kl"), "missing: kl"),
        (lambda rows: rows.assign(group="medium"), "found \\['medium'\\]"),
        (lambda rows: rows.assign(md5hash="i0"), "i0 appears more than once"),
        (lambda rows: rows.assign(run=[0, 0, 0, 1]), "one value of run"),
        (lambda rows: rows.iloc[:0], "found none"),
    ],
)
def test_reading_refuses_other_mistakes(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    write_parquet(change(small_rows(0, [1.0, 2.0, 5.0, 9.0])), tmp_path / "e.parquet")
    with pytest.raises(UserError, match=message):
        read_evaluation(tmp_path / "e.parquet", ["mse", "kl"])


def test_a_missing_run_is_refused_not_skipped() -> None:
    runs = paper_runs()
    with pytest.raises(UserError, match="one row for each of the runs"):
        run_table(runs[(runs["train_set"] != "B") | (runs["run"] != 3)], design_of(runs), ["mse"])


def test_gap_table_of_a_known_study() -> None:
    runs = paper_runs()
    _, gaps = judged(runs)
    b = gaps[(gaps["metric"] == "mse") & (gaps["train_set"] == "B")].iloc[0]
    dark, light = (runs[(runs["train_set"] == "B") & (runs["group"] == g)]["mse"].to_numpy() for g in ("dark", "light"))
    assert b["gap"] == pytest.approx((dark - light).mean())
    assert b["ratio"] == pytest.approx(dark.mean() / light.mean())
    assert b["se"] == pytest.approx((dark - light).std(ddof=1) * math.sqrt(1 / 10 + 500 / 1668))
    assert b["p_wilcoxon"] == b["p_wilcoxon_min"] == 2 / 2**10


def test_holm_covers_the_declared_family_and_nothing_else() -> None:
    from statsmodels.stats.multitest import multipletests

    _, gaps = judged(paper_runs())
    family = gaps[gaps["metric"].isin(["mse", "latent_std"])]
    assert len(family) == 6
    assert family["p_holm"].to_numpy() == pytest.approx(multipletests(family["p"], method="holm")[1])
    assert gaps[gaps["metric"] == "kl"]["p_holm"].isna().all()


def test_claims_of_a_study_in_which_they_hold() -> None:
    claims, gaps = judged(paper_runs())
    assert claims["verdict"].to_dict() == dict.fromkeys(["C1", "C2", "C3", "C4", "C5", "C6", "C7", "C10"], "supported")
    b = gaps[(gaps["metric"] == "mse") & (gaps["train_set"] == "B")].iloc[0]
    assert claims.loc["C2", ["estimate", "ci_low", "ci_high", "p", "p_holm"]].tolist() == pytest.approx(
        b[["gap", "ci_low", "ci_high", "p", "p_holm"]].tolist()
    )


def test_claims_of_a_study_in_which_the_opposite_holds() -> None:
    """Light and dark swapped: dark images are the easier ones throughout."""
    swapped = {("A", 0.0): (0.065, 0.040), ("B", 0.5): (0.055, 0.045), ("C", 1.0): (0.044, 0.053)}
    claims, _ = judged(paper_runs(mse=swapped))
    assert claims.loc[["C1", "C2", "C3", "C4", "C5"], "verdict"].tolist() == ["contradicted"] * 5
    assert claims.loc["C6", "verdict"] == "supported"
    assert claims.loc["C2", "estimate"] == pytest.approx(-0.010, abs=1e-3)


def test_slightly_higher_has_an_upper_bound() -> None:
    """Dark under C at 0.044 is 10 % above light under A at 0.040; at 0.060 it is 50 % above."""
    assert judged(paper_runs())[0].loc["C4", "verdict"] == "supported"
    changed = {("C", 1.0): (0.065, 0.060)}
    claims, _ = judged(paper_runs(mse=changed))
    assert claims.loc["C4", "verdict"] == "contradicted"
    assert "1.25 times light MSE under A" in claims.loc["C4", "sentence"]


def test_noise_gives_no_verdict() -> None:
    claims, _ = judged(paper_runs(jitter=40.0))
    assert set(claims.loc[["C1", "C2", "C4", "C5"], "verdict"]) == {"inconclusive"}


def test_no_difference_is_not_supported_by_noise() -> None:
    """Latent standard deviations that scatter far beyond the margin are no evidence of equality."""
    claims, _ = judged(paper_runs(jitter=200.0))
    assert claims.loc["C6", "verdict"] == "inconclusive"


def test_latent_std_beyond_the_margin_contradicts() -> None:
    runs = paper_runs()
    runs.loc[(runs["group"] == "dark") & (runs["train_set"] == "A"), "latent_std"] *= 1.2
    claims, _ = judged(runs)
    assert claims.loc["C6", "verdict"] == "contradicted"
    assert claims.loc["C6", "estimate"] == pytest.approx(0.16, abs=0.01)


def test_one_run_is_not_testable_and_has_no_interval() -> None:
    claims, gaps = judged(paper_runs(n=1))
    assert set(claims["verdict"]) == {"not testable"}
    assert claims[["ci_low", "ci_high", "p", "p_holm"]].isna().all().all()
    assert gaps[["ci_low", "ci_high", "p", "se", "dz", "ratio_low", "p_wilcoxon", "p_holm"]].isna().all().all()
    assert gaps["gap"].notna().all()
    assert "1 run, and a test over runs needs at least 3" in claims.loc["C2", "sentence"]


def test_constant_runs_are_not_testable() -> None:
    claims, _ = judged(paper_runs(jitter=0.0))
    assert set(claims["verdict"]) == {"not testable"}
    assert "no variation" in claims.loc["C3", "sentence"]


def test_claims_need_their_training_sets() -> None:
    runs = paper_runs()
    claims, _ = judged(runs[runs["train_set"] != "B"])
    assert claims.loc[["C1", "C2"], "verdict"].tolist() == ["not testable"] * 2
    assert "no training set with a dark share of 0.5" in claims.loc["C2", "sentence"]
    assert claims.loc["C3", "verdict"] == "supported"


def test_sets_are_found_by_dark_share_not_by_name() -> None:
    runs = paper_runs()
    renamed = runs.assign(train_set=runs["train_set"].map({"A": "zero", "B": "half", "C": "all"}))
    before, after = judged(runs)[0], judged(renamed)[0]
    assert before["p"].to_numpy() == pytest.approx(after["p"].to_numpy())
    assert "under zero" in after.loc["C3", "sentence"]


def test_a_sweep_tests_trends() -> None:
    """Dark MSE falls by 0.02 and light MSE rises by 0.01 from share 0 to 1, in a straight line."""
    means = {}
    for i, share in enumerate([0.0, 0.25, 0.5, 0.75, 1.0]):
        light, dark = np.roll(JITTER, i), np.roll(JITTER, i + 5)
        means[f"s{i}", share] = {
            "light": {"mse": 0.04 + 0.01 * share + light, "latent_std": 0.8 + light, "kl": 1 + light},
            "dark": {"mse": 0.06 - 0.02 * share + dark, "latent_std": 0.8 + dark, "kl": 1 + light},
        }
    claims, _ = judged(runs_of(means))
    assert claims.loc["C1", "verdict"] == "supported"
    assert claims.loc["C1", "estimate"] == pytest.approx(0.01, abs=0.002)
    assert "slope" in claims.loc["C1", "test"]


def write_study(
    folder: Path, shuffle: int | None, change: Callable[[pd.DataFrame], pd.DataFrame] = lambda rows: rows
) -> None:
    """A small simulated study on disk, with every column of an evaluation; `change` is applied to all rows."""
    rng = np.random.default_rng(3)
    truth = Truth(n_light=300, n_dark=120, test_size=40, train_size=60, runs=3, condition=0.3)
    rows, design = simulate_study(truth, rng)
    dark = (rows["group"] == "dark").to_numpy()
    rows["fitzpatrick_scale"] = np.where(dark, 5, 1)
    rows["fitzpatrick_centaur"] = np.where(rows["md5hash"].str[-1] == "7", 3, rows["fitzpatrick_scale"])
    tone = dict(zip(rows["md5hash"], np.where(dark, -20, 45) + rng.normal(0, 10, len(rows)), strict=True))
    rows["ita_in"] = rows["md5hash"].map(tone).where(rows["md5hash"].str[-1] != "3")
    for column in ("ita_out", "dl", "da", "db"):
        rows[column] = rows["ita_in"] * 0.01 + rng.normal(0, 1, len(rows))
    rows["ciede2000"] = rows["dl"].abs()
    for column in ("psnr", "ssim", "mse_over_var", "perceptual", "decoding_var"):
        rows[column] = rows["mse"] * rng.uniform(0.9, 1.1, len(rows))
    rows = change(rows)
    images = rows[["md5hash", "group"]].drop_duplicates()
    write_csv(images.iloc[:20].assign(cluster=np.arange(20) // 2, size=2), folder / "duplicates.csv")
    for train_set, part in rows[rows["run"] == 0].groupby("train_set"):
        ensemble = part[["md5hash", "group"]].assign(n_models=3, ensemble_var=rng.exponential(size=len(part)))
        write_parquet(ensemble.reset_index(drop=True), folder / "runs" / train_set / "ensemble.parquet")
    for (train_set, run), part in rows.groupby(["train_set", "run"]):
        table = part if shuffle is None else part.sample(frac=1, random_state=shuffle)
        of_model = folder / "runs" / train_set / f"run{run}"
        write_parquet(table.reset_index(drop=True), of_model / "evaluation.parquet")
        samples = table.assign(source=np.where(table["mse"] > 0.05, "prior", "training"), ita=table["ita_in"])
        write_parquet(samples[["train_set", "dark_share", "run", "source", "ita"]], of_model / "samples.parquet")
    write_csv(design if shuffle is None else design.iloc[::-1], folder / "design.csv")
    metadata = rows.drop_duplicates("md5hash").assign(nine_partition_label="x", three_partition_label="y")
    write_csv(metadata if shuffle is None else metadata.iloc[::-1], folder / "metadata.csv")


def run_stages(folder: Path, train_sets: str, runs: int = 3) -> dict[str, Path]:
    """Every statistics script, as the rules call them; the tables they wrote, by name."""
    tables = folder / "tables"
    study = ["--evaluations", f"{folder}/runs", "--train-sets", *train_sets, "--runs", str(runs)]
    design = ["--design", f"{folder}/design.csv"]
    config = ["--config", json.dumps({"seed": 1, "stats": CONFIG, "light": [1, 2], "dark": [5, 6]})]
    metadata = json.dumps(
        {"seed": 1, "label": "fitzpatrick_scale", "light": [1, 2], "dark": [5, 6], "resamples": CONFIG["resamples"]}
    )

    def at(*same: str, **renamed: str) -> list[str]:
        names = dict.fromkeys(same) | renamed
        return [part for o, n in names.items() for part in (f"--{o.replace('_', '-')}", f"{tables}/{n or o}.csv")]

    means_of_runs = at(run_means="runs")
    rows = ["--metadata", f"{folder}/metadata.csv", "--config", metadata]
    summarise_metadata.main([*rows, *at("fst_counts", "prevalence", "condition_mix")])
    means = at("headline", "conditions", pooled="pooled_conditions")
    summarise_runs.main([*study, "--level", "0.95", *means_of_runs, *means])
    duplicates = ["--duplicates", f"{folder}/duplicates.csv"]
    estimate_gaps.main([*study, *duplicates, *design, *config, *means_of_runs, *at(output="gaps")])
    adjust_gaps.main([*study, *duplicates, *config, *at("adjusted", "models")])
    compare_samples.main([*study, *design, *config, *at(output="samples")])
    score_uncertainty.main([*study, *design, *config, *at(output="uncertainty")])
    compare_subsets.main([*study, *design, *config, *at(output="subsets")])
    measure_colour.main([*study, *design, *config, *at("colour_runs", "colour", "tone_curves", "tone_slopes")])
    estimate_sweep.main([*design, *config, *means_of_runs, *at(output="sweep")])
    behind = at("gaps", "adjusted", "colour_runs", "condition_mix")
    judge_claims.main([*design, *config, *means_of_runs, *behind, *at(output="claims")])
    return {path.stem: path for path in sorted(tables.iterdir())}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("study")
    write_study(folder, None)
    return run_stages(folder, "ABC")


def test_row_order_changes_no_byte(tables: dict[str, Path], tmp_path: Path) -> None:
    write_study(tmp_path, 7)
    shuffled = run_stages(tmp_path, "CAB")
    assert shuffled.keys() == tables.keys()
    assert [name for name in tables if tables[name].read_bytes() != shuffled[name].read_bytes()] == []


def test_one_run_gives_every_table_and_no_verdict_over_runs(tmp_path: Path) -> None:
    write_study(tmp_path, None, lambda rows: rows[rows["run"] == 0])
    tables = run_stages(tmp_path, "ABC", runs=1)
    claims = pd.read_csv(tables["claims"]).set_index("claim")
    assert set(claims.drop("C8")["verdict"]) == {"not testable"}
    assert claims.drop("C8")["ci_low"].isna().all()
    assert claims.loc["C2", "sentence"].endswith("at least 3 (stats.min_runs).")
    gaps = pd.read_csv(tables["gaps"])
    assert gaps[["gap", "boot_low", "boot_high"]].notna().all().all()
    assert gaps[["ci_low", "p", "p_holm", "se"]].isna().all().all()
    assert set(gaps["boot_covers"]) == {"images"}


def test_groups_without_a_common_condition_have_no_adjusted_gap(tmp_path: Path) -> None:
    write_study(tmp_path, None, lambda rows: rows.assign(label=rows["group"] + " " + rows["label"]))
    tables = run_stages(tmp_path, "ABC")
    adjusted = pd.read_csv(tables["adjusted"]).set_index("adjustment")
    assert adjusted.loc["condition", ["gap", "ci_low", "p"]].isna().all().all()
    assert (adjusted.loc["condition", "coverage"] == 0).all()
    assert adjusted.loc["none", "gap"].notna().all()
    claim = pd.read_csv(tables["claims"]).set_index("claim").loc["C11"]
    assert claim["verdict"] == "not testable"
    assert "no condition has enough test images of both groups" in claim["sentence"]


def test_constant_columns_have_estimates_and_no_test(tmp_path: Path) -> None:
    constant = {"mse": 0.05, "mse_unit": 0.0125, "latent_std": 0.8, "kl": 3.0, "decoding_var": 0.1}
    write_study(tmp_path, None, lambda rows: rows.assign(**constant))
    tables = run_stages(tmp_path, "ABC")
    gaps = pd.read_csv(tables["gaps"]).set_index("metric")
    assert (gaps.loc["mse", "gap"].abs() < 1e-15).all()
    assert gaps.loc["mse", ["ci_low", "t", "p", "dz"]].isna().all().all()
    assert set(pd.read_csv(tables["models"])["warnings"]) == {"no fit: every image has the same error"}
    claims = pd.read_csv(tables["claims"]).set_index("claim")
    assert set(claims.loc[["C1", "C2", "C3", "C4", "C5", "C6", "C7", "C10"], "verdict"]) == {"not testable"}
    assert "no variation to test against" in claims.loc["C2", "sentence"]


def test_every_table_matches_the_dictionary(tables: dict[str, Path]) -> None:
    dictionary = yaml.safe_load((ROOT / "schemas" / "tables.yaml").read_text())
    for name, path in tables.items():
        about, *columns = dictionary[name]
        assert about == "$about"
        assert pd.read_csv(path).columns.tolist() == columns, name
        meanings = [dictionary[name][column] or dictionary["$common"][column] for column in columns]
        assert min(map(len, meanings)) > 3, name


def test_all_claims_have_a_row_in_order(tables: dict[str, Path]) -> None:
    claims = pd.read_csv(tables["claims"])
    assert claims["claim"].tolist() == [f"C{number}" for number in range(1, 12)]
    assert claims["verdict"].isin(["supported", "contradicted", "inconclusive", "not testable"]).all()
    assert claims[["sentence", "rule", "table", "figure", "statement", "source"]].notna().all().all()
    tested = claims[(claims["verdict"] != "not testable") & (claims["claim"] != "C8")]
    assert ((tested["p_holm"] <= 0.05) == tested["verdict"].isin(["supported", "contradicted"])).all()
    assert (tested["ci_low"] <= tested["estimate"]).all()
    assert (tested["estimate"] <= tested["ci_high"]).all()
