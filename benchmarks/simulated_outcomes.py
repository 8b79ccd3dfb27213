"""One simulated study through every test and interval, to count how often each is wrong."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from simulated_studies import CONDITION_COUNT, PAIR, Truth, condition_name, simulate_study
from statsmodels.stats.proportion import proportion_confint

from evenhand.stats.bootstrap import add_bootstrap, draw_images
from evenhand.stats.claims import run_claims
from evenhand.stats.gaps import RunTable, gap_table, run_table, sweep_table
from evenhand.stats.image_claims import adjusted_claim, colour_claim
from evenhand.stats.models import model_gaps
from evenhand.stats.paired import run_test
from evenhand.stats.rows import by_model, by_run
from evenhand.stats.strata import adjusted_gaps
from evenhand.stats.summary import error_totals, pooled_conditions
from evenhand.stats.verdicts import rules_from, verdict_table

METRICS = ("mse", "latent_std")
COLOURS = ("dl", "da", "db")


def simulated_outcomes(
    truth: Truth, seed: int, stats: dict[str, Any], images: bool, models: bool
) -> dict[str, bool | str]:
    """What the statistics say about one simulated study.

    Args:
        truth: what is true.
        seed: of the study and the bootstrap.
        stats: the `stats` block of a configuration.
        images: also the bootstrap and the standardised gap (and C11), which take half a second.
        models: also the mixed model and the clustered regression, which take seconds.

    Returns:
        `verdict C1` ...: the verdicts; `reject <procedure> <set>`: whether the procedure tells the gap of MSE from 0;
        `cover <procedure> <set>`: whether its interval holds the true value; `reject any Holm`: whether any test of
        the family is significant.
    """
    rng = np.random.default_rng(seed)
    rows, design = simulate_study(truth, rng)
    rules = rules_from(stats)
    level = 1 - rules.alpha
    means = rows.groupby(["train_set", "compared_share", "run", "group"], as_index=False)
    runs = means[[*METRICS, *COLOURS]].mean().merge(means.size().rename(columns={"size": "n_images"}))
    table = run_table(runs, design, PAIR, METRICS)
    gaps = gap_table(table, METRICS, stats["family"], rules.alpha, stats["margins"])
    colours = run_table(runs, design, PAIR, COLOURS)
    cases = [*run_claims(table, gaps, rules), colour_claim(colours, PAIR, rules)]
    outcomes: dict[str, bool | str] = {"reject any Holm": bool((gaps["p_holm"] <= rules.alpha).any())}
    outcomes |= _trend_outcomes(table, truth, rules.alpha)
    outcomes |= _colour_outcomes(colours, truth, level)
    if images or models:
        totals = error_totals(by_model(rows), PAIR)
    if images:
        draws = draw_images(rows, PAIR, stats["resamples"], rng)
        gaps = add_bootstrap(gaps, by_model(rows), PAIR, draws, level)
        adjusted = adjusted_gaps(*totals, PAIR, draws, stats["min_images"], level, rules.vanishing)
        cases.append(adjusted_claim(table, adjusted, rules))
        outcomes |= _adjusted_outcomes(adjusted, truth, rules.alpha)
        outcomes |= _condition_outcomes(totals[0], runs, truth, level, rng)
    outcomes |= _gap_outcomes(gaps[gaps["metric"] == "mse"], truth, rules.alpha)
    if models:
        outcomes |= _model_outcomes(model_gaps(*totals, by_run(rows), PAIR, level), truth, rules.alpha)
    verdicts = verdict_table(cases, rules.alpha, rules.min_runs)
    return outcomes | {
        f"verdict {claim}": verdict for claim, verdict in zip(verdicts["claim"], verdicts["verdict"], strict=True)
    }


def _gap_outcomes(gaps: pd.DataFrame, truth: Truth, alpha: float) -> dict[str, bool | str]:
    found: dict[str, bool | str] = {}
    for row in gaps.to_dict("records"):
        name = row["train_set"]
        gap = truth.expected_gap(name)
        ratio = truth.expected_mse(name, "dark") / truth.expected_mse(name, "light")
        found[f"reject corrected t {name}"] = row["p"] <= alpha
        found[f"reject naive t {name}"] = row["p_naive"] <= alpha
        found[f"reject Wilcoxon {name}"] = row["p_wilcoxon"] <= alpha
        found[f"cover corrected t {name}"] = row["ci_low"] <= gap <= row["ci_high"]
        found[f"cover naive t {name}"] = row["naive_low"] <= gap <= row["naive_high"]
        found[f"reject t, shared images {name}"] = not row["shared_low"] <= 0 <= row["shared_high"]
        found[f"cover t, shared images {name}"] = row["shared_low"] <= gap <= row["shared_high"]
        found[f"cover ratio, Fieller {name}"] = row["ratio_low"] <= ratio <= row["ratio_high"]
        if "boot_low" in row:
            found[f"reject bootstrap {name}"] = not row["boot_low"] <= 0 <= row["boot_high"]
            found[f"cover bootstrap {name}"] = row["boot_low"] <= gap <= row["boot_high"]
            found[f"cover ratio, bootstrap {name}"] = row["boot_ratio_low"] <= ratio <= row["boot_ratio_high"]
    return found


def _trend_outcomes(table: RunTable, truth: Truth, alpha: float) -> dict[str, bool | str]:
    """Whether the interval of the crossing point covers, where there is one."""
    if np.isnan(truth.crossing()):
        return {}
    crossing = sweep_table(table, "mse", alpha).set_index("quantity").loc["crossing"]
    return {"cover crossing": bool(crossing["ci_low"] <= truth.crossing() <= crossing["ci_high"])}


def _colour_outcomes(colours: RunTable, truth: Truth, level: float) -> dict[str, bool | str]:
    """Whether the interval of the mean shift of L* of dark images covers, per training set."""
    found: dict[str, bool | str] = {}
    for name, share in colours.shares.items():
        test = run_test(colours.values["dl"][name, "dark"], colours.test_train_ratio(name))
        low, high = test.interval(level)
        found[f"cover colour shift {name}"] = low <= share * truth.shift.get("dark", 0.0) <= high
    return found


def _condition_outcomes(
    images: pd.DataFrame, runs: pd.DataFrame, truth: Truth, level: float, rng: np.random.Generator
) -> dict[str, bool | str]:
    """Whether the partially pooled interval of one condition, drawn at random, covers: right on average over them."""
    condition = int(rng.integers(CONDITION_COUNT))
    pooled = pooled_conditions(images, runs, PAIR, level)
    mine = pooled[(pooled["condition"] == condition_name(condition)) & (pooled["group"] == "dark")]
    return {
        f"cover pooled condition {row['train_set']}": bool(
            row["ci_low"] <= truth.condition_mse(str(row["train_set"]), "dark", condition) <= row["ci_high"]
        )
        for row in mine.to_dict("records")
    }


def _adjusted_outcomes(adjusted: pd.DataFrame, truth: Truth, alpha: float) -> dict[str, bool | str]:
    found: dict[str, bool | str] = {}
    for row in adjusted[adjusted["adjustment"] == "condition"].to_dict("records"):
        name = row["train_set"]
        found[f"reject standardised {name}"] = row["p"] <= alpha
        found[f"cover standardised {name}"] = row["ci_low"] <= truth.standardised_gap(name) <= row["ci_high"]
    return found


def _model_outcomes(models: pd.DataFrame, truth: Truth, alpha: float) -> dict[str, bool | str]:
    found: dict[str, bool | str] = {}
    for row in models.to_dict("records"):
        procedure, name = row["model"], row["train_set"]
        ratio = float(np.exp(truth.gap.get(name, 0.0)))
        found[f"reject {procedure} {name}"] = row["p"] <= alpha
        found[f"cover {procedure} {name}"] = row["ci_low"] <= ratio <= row["ci_high"]
    return found


def rates(outcomes: Sequence[dict[str, bool | str]]) -> pd.DataFrame:
    """How often each outcome occurred, with its 95 % binomial (Clopper-Pearson) interval.

    Returns:
        outcome (verdicts as `verdict C1: supported`), rate, low, high, n.
    """
    names = list(dict.fromkeys(name for one in outcomes for name in one))
    rows = []
    for name in names:
        values = [one[name] for one in outcomes if name in one]
        levels = ["supported", "contradicted"] if name.startswith("verdict") else [True]
        for wanted in levels:
            count = sum(value == wanted for value in values)
            low, high = proportion_confint(count, len(values), method="beta")
            label = f"{name}: {wanted}" if isinstance(wanted, str) else name
            rows.append({"outcome": label, "rate": count / len(values), "low": low, "high": high, "n": len(values)})
    return pd.DataFrame(rows)
