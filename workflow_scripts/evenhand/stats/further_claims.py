"""Questions beside the claims of the paper: a calibrated ruler (R1), a codec (K1), whether a warning rings (U1, U2)."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from evenhand.evaluation.measures import CONTROLS, MEASURES, SCORES_OF
from evenhand.splits.groups import Pair
from evenhand.stats.claims import NO_TRAINING, claimed, named_sets, setting
from evenhand.stats.crossed import row_test
from evenhand.stats.gaps import RunTable
from evenhand.stats.ruler import damage_of, equivalent_test, readings, unreadable
from evenhand.stats.uncertainty import CHANCE, LACKED
from evenhand.stats.verdicts import Case, Evidence, Rules, Step, all_of, number

# Logarithm of a ratio of errors: below it they are the same but for the rounding of single precision.
SAME = 1e-6


def ruler_claim(
    tables: Sequence[RunTable], ruler: pd.DataFrame | None, pair: Pair, rules: Rules, margin: float
) -> Case:
    """R1: with equal representation (B) the compared images are worse on every measure once the ruler is calibrated.

    "Worse" on a measure: the error of the compared group reads as more than 1 + margin times the damage that the error
    of the reference does, each on the ladder of its own group. The direction is that of C2, declared and not that of
    the data.

    Args:
        tables: run means of the measures of the ruler, for the training sets of the design; one table or two (colours).
        ruler: tables/ruler.csv, or None where it was not measured.
        pair: the two groups.
        rules: the declared rules.
        margin: of `ruler.margin`, within which a measure counts as charging the groups alike.
    """
    reference, compared = pair
    metrics = [(table, metric) for table in tables for metric in table.values]
    case = Case(
        claim="R1",
        statement=f"{claimed(tables[0])} {compared} images are worse on every measure once calibrated",
        source="asked beside C2: no claim of the paper",
        test="t over images and runs, two-way clustered variance, and the ruler, all measures",
        rule=(
            f"{rules.all_steps(len(metrics))}; a step: the error of {compared} images reads as more than "
            f"{1 + margin:g} times the damage that that of {reference} images does (a blur, of colours a tint)"
        ),
        table="equivalents",
        figure="ruler",
    )
    if ruler is None:
        return replace(case, reason="the ruler was not measured (report.ruler)")
    names, reason = named_sets(tables[0], "B")
    if reason:
        return replace(case, reason=reason)
    (b,) = names
    steps, facts = [], []
    for table, metric in metrics:
        found = readings(table, ruler, metric, b)
        title = MEASURES[metric].short or MEASURES[metric].title
        reason = unreadable(table, found, metric)
        if reason:
            return replace(case, reason=f"{title}: {reason}")
        ratio = found[compared].step / found[reference].step
        facts.append(f"{ratio:.2f} ({title})")
        name = f"{damage_of(metric)} of {compared} images minus {1 + margin:g} times that of {reference} ones, {title}"
        steps.append(Step(name, equivalent_test(table, found, metric, b, 1 + margin), +1))
    text = (
        f"Read off the ruler of each group, the error of {compared} images is that of a damage so many times as large: "
    )
    return replace(case, facts=f"{text}{', '.join(facts)}.", clauses=all_of(*steps))


def codec_claim(table: RunTable, codec: pd.DataFrame, rules: Rules) -> Case:
    """K1: with equal representation (B) the ratio of the model is larger than that of a codec of equal error.

    Args:
        table: run means, for the training sets of the design.
        codec: tables/codec.csv, the rows of the pair.
        rules: the declared rules.
    """
    reference, compared = table.pair
    case = Case(
        claim="K1",
        statement=(
            f"{claimed(table)} the ratio of {compared} to {reference} MSE is larger than that of a codec "
            f"of equal {reference} MSE, which has learned nothing"
        ),
        source="control of C2: no claim of the paper",
        test=(
            "t over images and runs of the logarithm of the model's ratio over the codec's, paired by image, two-way "
            "clustered variance, two-sided"
        ),
        rule=rules.one_step(),
        table="codec",
        figure="mse_boxes",
    )
    names, reason = named_sets(table, "B")
    if reason:
        return replace(case, reason=reason)
    row = codec.set_index("train_set").to_dict("index")[names[0]]
    if not row["covers"]:
        return replace(case, reason=str(row["note"]))
    if math.hypot(row["se_images"], row["se_models"]) < SAME:
        return replace(case, reason="image by image the models err as the codec does")
    facts = (
        f"{setting(table)} the mean MSE of {compared} images is {row['ratio']:.2f} times that of {reference} "
        f"images; with JPEG of the same MSE on {reference} images ({number(row['mean_reference'])}: on average quality "
        f"{row['quality']:.0f} at {row['side']:.0f} px a side) it is {row['codec_ratio']:.2f} times. The model's ratio "
        f"is {row['excess']:.2f} times the codec's ({100 * (1 - rules.alpha):g} % interval {row['excess_low']:.2f} to "
        f"{row['excess_high']:.2f})."
    )
    step = Step("logarithm of the model's ratio over the codec's", row_test(row, "log_excess"), +1)
    return replace(case, facts=facts, clauses=all_of(step))


def warning_claims(uncertainty: pd.DataFrame | None, pair: Pair, rules: Rules) -> list[Case]:
    """U1: some score beats both controls in finding the group that training left out. U2: SLUG does.

    A score beats the controls where, in every training set that lacks one of the two groups, its AUROC is higher than
    that of each control, and above chance once they are held fixed: all must hold, so the largest p counts. Some score
    is enough, so p counts times the number of scores; and against the claim each score has to fail.

    Args:
        uncertainty: tables/uncertainty.csv, the rows of the pair; None: it is not made for frozen models.
        pair: the two groups.
        rules: the declared rules.
    """
    beaten = (
        f"has a higher AUROC for the group left out than {' and '.join(CONTROLS)}, and one above 0.5 with both held "
        "fixed, in every training set that lacks a group"
    )
    some = Case(
        claim="U1",
        statement="Some score of uncertainty flags the group that training left out better than what knows no model",
        source="v1, v2 4.3, taken further",
        test="t over images and runs (scores of several models: over images), two-way clustered variance",
        rule=(
            f"supported: a score {beaten}, p of the weakest times the scores at most {rules.alpha:g}; contradicted: "
            "each score fails in one of these, p likewise; else inconclusive"
        ),
        table="uncertainty",
        figure="uncertainty",
    )
    slug = replace(
        some,
        claim="U2",
        statement="SLUG, sketched Lanczos uncertainty, of the first run flags it better than what knows no model",
        source="asked beside C6: no claim of the paper",
        test="t over images of the first run: it does not know how models differ",
        rule=(
            f"supported: it {beaten}, p of the weakest at most {rules.alpha:g}; contradicted: it fails in one of these,"
            " p likewise; else inconclusive"
        ),
    )
    if uncertainty is None:
        return [replace(case, reason=NO_TRAINING) for case in (some, slug)]
    flags = uncertainty[uncertainty["target"] == LACKED]
    if flags.empty:
        reason = f"no training set lacks either {' or '.join(pair)} images alone"
        return [replace(case, reason=reason) for case in (some, slug)]
    of_slug = flags[flags["score"].isin(SCORES_OF["weights"])]
    if of_slug.empty:
        return [warned(some, flags, rules), replace(slug, reason="SLUG is not computed (evaluate.slug: 0)")]
    return [warned(some, flags, rules), warned(slug, of_slug, rules)]


def warned(case: Case, flags: pd.DataFrame, rules: Rules) -> Case:
    """The case with what the scores in `flags` say, rows of `uncertainty` on the group that training left out."""
    needed = ["auroc_adjusted", *(f"over {control}" for control in CONTROLS)]
    told = flags[flags["statistic"].isin(needed)]
    rows = told.dropna(subset="p")
    steps = len(needed) * told["train_set"].nunique()
    tested = [score for score in dict.fromkeys(rows["score"]) if (rows["score"] == score).sum() == steps]
    if not tested:
        return replace(case, reason="no score has a p in all of these")
    found = []
    for score in tested:
        of_score = rows[rows["score"] == score]
        high = of_score["estimate"] > of_score["chance"]
        p_above = (of_score["p"] / 2).where(high, 1 - of_score["p"] / 2)
        found.append((2 * p_above.max(), min(1.0, 2 * steps * (1 - p_above).min()), p_above.idxmax()))
    best = min(range(len(found)), key=lambda place: found[place][0])
    row = rows.loc[found[best][2]]
    titles = [MEASURES[score].title for score in tested]
    shares = flags[(flags["score"] == tested[best]) & (flags["statistic"] == "alarm")]
    alarms = ", ".join(f"{of['estimate']:.0%} ({of['train_set']})" for of in shares.to_dict("records"))
    nearest = (
        f"Of {len(tested)} scores the nearest is {titles[best]}" if len(tested) > 1 else f"The score is {titles[0]}"
    )
    facts = f"{nearest}; with {CHANCE['alarm']:.0%} false alarms it catches {alarms} of the left-out group."
    left_out = sorted(set(told["score"]) - set(tested) - set(CONTROLS))
    facts += f" Without a p: {', '.join(left_out)}." if left_out else ""
    of_one_run = set(tested) <= set(SCORES_OF["weights"])
    evidence = Evidence(
        name=f"{row['statistic']} of {titles[best]} under {row['train_set']} (chance {row['chance']:g})",
        estimate=float(row["estimate"]),
        low=float(row["ci_low"]),
        high=float(row["ci_high"]),
        level=1 - rules.alpha,
        p_for=min(1.0, len(tested) * found[best][0]),
        p_against=max(against for _, against, _ in found),
        n=int(row["n_images"] if of_one_run else row["n_runs"]),
        null=float(row["chance"]),
        counts="images of the first run" if of_one_run else "runs",
    )
    return replace(case, facts=facts, evidence=evidence)
