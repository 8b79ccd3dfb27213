"""Codecs: their numbers, the one of equal error, and claim K1 on models that are a codec and models that are worse."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from simulated import CONFIG, PAIR, RULES, covariances_of

from evenhand.evaluation.measures import mse as model_mse
from evenhand.figures.group_boxes import group_box_data, group_box_text, with_codec
from evenhand.models.codec import LOWEST_QUALITY, equal_error, ladder, recode, squared_error
from evenhand.splits.groups import FROZEN, Group
from evenhand.stats.claims import NO_TRAINING, run_claims
from evenhand.stats.codec import codec_adjusted, codec_tables, with_excess
from evenhand.stats.further_claims import codec_claim
from evenhand.stats.gaps import RunTable, gap_table, run_table
from evenhand.stats.verdicts import verdict_table

SIDE = 32


def pictures(n: int, contrast: float, seed: int) -> np.ndarray:
    """Smooth pictures with noise of a given contrast, (n, SIDE, SIDE, 3)."""
    random = np.random.default_rng(seed)
    x = np.linspace(0, 3, SIDE)
    waves = [np.sin(np.add.outer(a * x, b * x))[..., None] for a, b in random.uniform(0.5, 3, (n, 2))]
    detail = random.normal(0, contrast, (n, SIDE, SIDE, 3))
    return (127.5 * (1 + 0.5 * np.array(waves) + detail)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_recoded_picture_is_what_pillow_reads_back(kind: str) -> None:
    image = pictures(1, 0.1, 0)[0]
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, quality=30)
    found, size = recode(image, kind, 30, SIDE)
    assert size == len(file.getvalue())
    np.testing.assert_array_equal(found, np.asarray(Image.open(file).convert("RGB")))
    assert recode(image, kind, 30, SIDE // 4)[0].shape == image.shape


def test_the_error_is_the_measure_of_the_models() -> None:
    import torch

    image, found = pictures(2, 0.2, 1)
    tensors = [torch.from_numpy(x[None].astype(np.float32) / 127.5 - 1) for x in (image, found)]
    assert squared_error(image, found) == pytest.approx(float(model_mse(*tensors)[0]), rel=1e-5)


def test_the_ladder_goes_from_the_best_quality_to_one_colour() -> None:
    steps = ladder(SIDE)
    assert steps[0] == (100, SIDE)
    assert steps[100 - LOWEST_QUALITY] == (LOWEST_QUALITY, SIDE)
    assert steps[-1] == (LOWEST_QUALITY, 1)


@pytest.mark.parametrize("target", [0.02, 0.05, 0.1])
def test_mean_errors_on_the_reference_are_equal(target: float) -> None:
    images = np.concatenate([pictures(6, 0.1, 2), pictures(4, 0.2, 3)])
    reference = np.arange(10) < 6
    found = equal_error(images, reference, target)
    assert found.errors[reference].mean() == pytest.approx(target, rel=1e-12)
    # Between the two settings, image by image.
    settings = [step for step in ladder(SIDE) if abs(step[0] - found.quality) < 1 and abs(step[1] - found.side) < 1]
    errors = np.array(
        [[squared_error(image, recode(image, "JPEG", *step)[0]) for step in settings] for image in images]
    )
    assert (errors.min(axis=1) - 1e-12 <= found.errors).all()
    assert (found.errors <= errors.max(axis=1) + 1e-12).all()
    several = equal_error(images, reference, target, workers=3)
    np.testing.assert_array_equal(found.errors, several.errors)
    # Another image beside it changes nothing of the reference.
    np.testing.assert_array_equal(found.errors[:8], equal_error(images[:8], reference[:8], target).errors)


def test_the_error_of_a_quality_finds_that_quality() -> None:
    images = pictures(5, 0.1, 4)
    errors = np.array([squared_error(image, recode(image, "JPEG", 40, SIDE)[0]) for image in images])
    found = equal_error(images, np.ones(5, dtype=bool), errors.mean())
    assert (found.quality, found.side) == (40, SIDE)
    np.testing.assert_allclose(found.errors, errors, rtol=1e-12)


@pytest.mark.parametrize("target", [0.0, 3.0, np.nan])
def test_no_codec_has_an_error_beyond_the_ladder(target: float) -> None:
    found = equal_error(pictures(3, 0.1, 5), np.ones(3, dtype=bool), target)
    assert np.isnan(found.errors).all()
    assert np.isnan([found.quality, found.side]).all()


SETS = {"A": 0.0, "B": 0.5, "C": 1.0}


def study(
    extra: float, runs: int = 4, n: int = 60, noise: float = 0.05, seed: int = 0, sets: dict[str, float] = SETS
) -> pd.DataFrame:
    """Models whose errors are those of a codec, image by image with noise, on dark images times `extra` besides."""
    random = np.random.default_rng(seed)
    difficulty = {group: random.lognormal(-3, 0.5, 3 * n) for group in PAIR}
    parts = []
    for run in range(runs):
        for group in PAIR:
            chosen = random.choice(3 * n, n, replace=False)
            codec = difficulty[group][chosen] * (1.3 if group == "dark" else 1)  # the pictures' own gap
            for name, share in sets.items():
                y = codec
                x = y * random.lognormal(0, noise, n) * (extra if group == "dark" else 1)
                if group == "light":
                    y = y * x.mean() / y.mean()
                of_model = {"train_set": name, "compared_share": share, "run": run, "group": group}
                ids = [f"{group}{number:03d}" for number in chosen]
                settings = {"codec_bits": 1.0, "codec_quality": 10.0, "codec_side": 20.0}
                parts.append(pd.DataFrame({"id": ids, "mse": x, "codec_mse": y}).assign(**of_model, **settings))
    return pd.concat(parts, ignore_index=True).sort_values(["run", "train_set", "group", "id"], ignore_index=True)


def tables(rows: pd.DataFrame) -> tuple[RunTable, pd.DataFrame]:
    """What claims are judged by: the means of runs, and the table codec."""
    of_runs, codec = codec_tables((part for _, part in rows.groupby("run")), PAIR, [PAIR], None, RULES.alpha)
    runs = of_runs.assign(latent_std=1.0)
    design = runs[["train_set", "compared_share"]].drop_duplicates()
    trained = design["train_set"] != FROZEN
    design = design.assign(reference_share=(1 - design["compared_share"]) * trained, distinct=100.0 * trained)
    design = design.assign(test_size=60, shared=0.5)
    return run_table(runs, covariances_of(rows, ["mse"]), design, PAIR, ["mse"]), codec


def judged(rows: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame]:
    """The row of K1, and the table codec."""
    table, codec = tables(rows)
    return verdict_table([codec_claim(table, codec, RULES)], RULES.alpha, RULES.min_runs).iloc[0], codec


def test_a_model_that_is_the_codec_does_not_support_k1() -> None:
    """The pictures alone make a gap of 1.3 and more, which C2 would find; K1 has nothing to find."""
    claim, codec = judged(study(1.0, noise=0.0))
    assert claim["verdict"] == "not testable"
    assert codec["excess"].tolist() == pytest.approx([1.0] * 3, abs=1e-12)
    np.testing.assert_allclose(codec["codec_ratio"], codec["ratio"], rtol=1e-9)
    assert (codec["ratio"] > 1.1).all()


@pytest.mark.parametrize(("extra", "verdict"), [(1.15, "supported"), (0.85, "contradicted")])
def test_planted_errors_are_found(extra: float, verdict: str) -> None:
    claim, codec = judged(study(extra))
    assert claim["verdict"] == verdict
    assert claim["estimate"] == pytest.approx(np.log(extra), abs=0.02)
    b = codec.set_index("train_set").loc["B"]
    assert b["excess_low"] < extra < b["excess_high"]
    assert f"{b['excess']:.2f} times the codec's" in claim["sentence"]


def test_no_more_false_verdicts_than_declared() -> None:
    """Models that err like the codec up to noise: 20 studies, of which 5 % would be 1; more than 4 has p < 0.01."""
    studies = (study(1.0, runs=3, n=30, noise=0.2, seed=seed, sets={"B": 0.5}) for seed in range(20))
    assert sum(judged(rows)[0]["verdict"] != "inconclusive" for rows in studies) <= 4


def test_claims_of_b_are_asked_of_a_frozen_model_and_those_of_training_sets_are_not() -> None:
    rows = study(1.15, sets={FROZEN: 0.0})
    claim, _ = judged(rows)
    assert (claim["verdict"], claim["statement"][:20]) == ("supported", "With a frozen model ")
    table, _ = tables(rows)
    claims = verdict_table(run_claims(table, RULES), RULES.alpha, RULES.min_runs).set_index("claim")
    assert (claims.loc["C2", "verdict"], claims.loc["C2", "statement"][:20]) == ("supported", "With a frozen model ")
    for name in ("C1", "C3", "C4", "C5", "C7"):
        assert claims.loc[name, "verdict"] == "not testable"
        assert NO_TRAINING in claims.loc[name, "sentence"] or name == "C7"  # its latents are asked first
    gaps = gap_table(table, ["mse"], ["mse"], RULES.alpha, {}).iloc[0]
    assert gaps["ci_low"] > 0
    assert np.isnan(gaps[["nb_low", "p_nb"]].to_numpy(dtype=float)).all()


def test_a_model_that_is_the_codec_but_for_rounding_does_not_support_k1() -> None:
    claim, _ = judged(study(1.0, noise=1e-8))
    assert claim["verdict"] == "not testable"
    assert "image by image the models err as the codec does" in claim["sentence"]


def test_excess_has_the_mean_of_the_ratio() -> None:
    rows = study(1.2)
    model = with_excess(rows[(rows["run"] == 0) & (rows["train_set"] == "B")])
    means = model.groupby("group")[["mse", "codec_mse", "excess"]].mean()
    np.testing.assert_allclose(means["excess"], means["mse"] / means["codec_mse"], rtol=1e-12)


def test_without_a_codec_of_equal_error_k1_says_so() -> None:
    rows = study(1.2)
    lost = (rows["train_set"] == "B") & (rows["run"] == 2)
    rows.loc[lost, ["codec_mse", "codec_bits", "codec_quality", "codec_side"]] = np.nan
    claim, codec = judged(rows)
    assert claim["verdict"] == "not testable"
    assert "on light images 1 of 4 models have a mean error that JPEG has nowhere" in claim["sentence"]
    found = codec.set_index("train_set")["excess"]
    assert np.isnan(found["B"])
    assert found[["A", "C"]].notna().all()


def test_the_figure_shows_the_codec_of_the_balanced_models_last() -> None:
    rows = study(1.5)
    of_runs, _ = codec_tables((part for _, part in rows.groupby("run")), PAIR, [PAIR], None, RULES.alpha)
    data = with_codec(group_box_data(of_runs, "mse"), of_runs)
    last = data[data["position"] == 3]
    assert set(last["train_set"]) == {"B"}
    expected = of_runs[of_runs["train_set"] == "B"].groupby("group")["codec_mse"].mean()
    pd.testing.assert_series_equal(last.groupby("group")["value"].mean(), expected, check_names=False)
    groups = [Group(name, name, {}) for name in PAIR]
    ratio = expected["dark"] / expected["light"]
    assert f"{ratio:.2f} under JPEG for B" in group_box_text(data, "mse", groups).caption
    without = with_codec(group_box_data(of_runs, "mse"), of_runs[of_runs["train_set"] != "B"])
    assert without["position"].max() == 2


def with_strata(rows: pd.DataFrame, harder: float) -> pd.DataFrame:
    """One condition, rare among light images and frequent among dark ones, in which a model's errors are larger.

    The codec's are larger by one factor for all, with which the means on light images are equal again.
    """
    number = rows["id"].str[-3:].astype(int)
    rare = np.where(rows["group"] == "dark", number % 4 > 0, number % 4 == 0)
    rows = rows.assign(condition=np.where(rare, "scaly", "smooth"), source="one atlas")
    rows["mse"] *= np.where(rare, harder, 1)
    light = rows[rows["group"] == "light"].groupby(["train_set", "run"])[["mse", "codec_mse"]].mean()
    models = pd.MultiIndex.from_frame(rows[["train_set", "run"]])
    rows["codec_mse"] *= (light["mse"] / light["codec_mse"]).loc[models].to_numpy()
    return rows


def adjusted(rows: pd.DataFrame) -> pd.DataFrame:
    """The table codec_adjusted, by training set and adjustment."""
    models, runs = ([part for _, part in rows.groupby(by)] for by in (["train_set", "run"], "run"))
    found = codec_adjusted(models, runs, PAIR, None, len(runs), CONFIG)
    return found.set_index(["train_set", "adjustment"])


def test_with_nothing_held_fixed_the_excess_is_the_difference_of_the_ratios() -> None:
    rows = with_strata(study(1.2), 1.0)
    found, (_, codec) = adjusted(rows).xs("none", level="adjustment"), tables(rows)
    codec = codec.set_index("train_set")
    means = rows.groupby(["train_set", "group"])[["mse", "codec_mse"]].mean().unstack()
    for name in SETS:
        of = means.loc[name]
        expected = (of["mse", "dark"] - of["codec_mse", "dark"]) / of["mse", "light"]
        assert found.loc[name, "relative"] == pytest.approx(expected, rel=1e-9)
        assert found.loc[name, "relative"] == pytest.approx(
            codec.loc[name, "ratio"] - codec.loc[name, "codec_ratio"], rel=0.02
        )
    assert (found["p"] < 0.001).all()


def test_an_excess_that_is_the_mix_of_conditions_is_gone_where_that_is_held_fixed() -> None:
    """Model and codec err alike but in a condition that more dark images have."""
    found = adjusted(with_strata(study(1.0), 1.5))
    for name in SETS:
        assert found.loc[(name, "none"), "ci_low"] > 0
        held = found.loc[(name, "condition")]
        assert abs(held["relative"]) < 0.3 * found.loc[(name, "none"), "relative"]
    assert set(found.index.get_level_values("adjustment")) == {"none", "condition"}  # of one atlas there is no mix


def test_training_sets_with_a_model_that_no_codec_equals_are_named_and_not_tested() -> None:
    rows = with_strata(study(1.2), 1.0)
    rows.loc[(rows["train_set"] == "A") & (rows["run"] == 1), "codec_mse"] = np.nan
    found = adjusted(rows)
    nowhere = "models have a mean error that JPEG has nowhere between quality 100 and one colour a picture"
    assert found.loc[("A", "none"), "note"] == f"on light images 1 of 4 {nowhere}"
    assert np.isnan(found.loc[("A", "none"), "gap"])
    assert found["gap"].dtype == float  # tables round numbers, not objects
    assert found.loc[("B", "none"), "relative"] == adjusted(with_strata(study(1.2), 1.0)).loc[("B", "none"), "relative"]
    rows["codec_mse"] = np.nan
    assert adjusted(rows)["note"].tolist() == [f"on light images 4 of 4 {nowhere}"] * len(SETS)
