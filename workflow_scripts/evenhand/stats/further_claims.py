"""Questions beside the claims of the paper: the gap on a calibrated ruler (R1), and beside that of a codec (K1)."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from evenhand.evaluation.measures import MEASURES
from evenhand.splits.groups import Pair
from evenhand.stats.crossed import row_test
from evenhand.stats.gaps import RunTable, named_sets
from evenhand.stats.ruler import damage_of, equivalent_test, readings, unreadable
from evenhand.stats.verdicts import Case, Rules, Step, all_of, number


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
        statement=f"With equal representation (B) {compared} images are worse on every measure once calibrated",
        source="asked beside C2: no claim of the paper",
        test="t over images and runs, two-way clustered variance, and the ruler, all measures",
        rule=(
            f"{rules.all_steps(len(metrics))}; a step: the error of {compared} images reads as more than "
            f"{1 + margin:g} times the damage that that of {reference} images does (a blur, of skin's colour a tint)"
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
            f"With equal representation (B) the ratio of {compared} to {reference} MSE is larger than that of a codec "
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
    facts = (
        f"With equal representation the mean MSE of {compared} images is {row['ratio']:.2f} times that of {reference} "
        f"images; with JPEG of the same MSE on {reference} images ({number(row['mean_reference'])}: on average quality "
        f"{row['quality']:.0f} at {row['side']:.0f} px a side) it is {row['codec_ratio']:.2f} times. The model's ratio "
        f"is {row['excess']:.2f} times the codec's ({100 * (1 - rules.alpha):g} % interval {row['excess_low']:.2f} to "
        f"{row['excess_high']:.2f})."
    )
    step = Step("logarithm of the model's ratio over the codec's", row_test(row, "log_excess"), +1)
    return replace(case, facts=facts, clauses=all_of(step))
