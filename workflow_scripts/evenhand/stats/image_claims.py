"""The claims that rest on colours (C9) and on the gap at equal condition mix (C11)."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from evenhand.splits.groups import FROZEN, Pair
from evenhand.stats.claims import named_sets, setting
from evenhand.stats.crossed import row_test
from evenhand.stats.gaps import RunTable
from evenhand.stats.tone import AXES
from evenhand.stats.verdicts import Case, Evidence, Rules, Step, all_of, number

AXIS_NAMES = {"dl": "L*", "da": "a*", "db": "b*"}


def colour_claim(table: RunTable | None, pair: Pair, rules: Rules) -> Case:
    """C9: between A and C the colour of the compared reconstructions changes and that of the reference does not.

    "Changes": in L*, a* or b* the mean shift (reconstruction minus input) differs between the models by more than
    what a viewer notices; "does not": by less, in all three.

    Args:
        table: run means of dl, da and db, or None where colour was not measured.
        pair: the two groups.
        rules: the declared rules.
    """
    reference, compared = pair
    bound = f"{rules.noticeable:g} CIELAB units"
    case = Case(
        claim="C9",
        statement=(
            f"Reconstructions of {compared} images change colour with the training set, those of {reference} do not"
        ),
        source="v1, v2 4.2",
        test="change of the mean shift from A to C, one-sided t over images and runs, two-way clustered variance",
        rule=(
            f"supported: {compared} images change by more than {bound} in L*, a* or b* (Bonferroni) and {reference} "
            f"images by less in all three, p at most {rules.alpha:g}; contradicted: {reference} images "
            f"change by more, or {compared} ones by less in all three, p likewise; else inconclusive"
        ),
        table="colour",
        figure="colour_shift",
        equivalence=True,
    )
    if table is None:
        return replace(case, reason="the colours of the reconstructions were not measured")
    names, reason = named_sets(table, "A", "C")
    if reason:
        return replace(case, reason=reason)
    a, c = names
    for name in table.shares:
        for group in (compared, reference):
            lost = int(np.isnan([table.values[axis][name, group] for axis in AXES]).any(axis=0).sum())
            if lost:
                reason = f"in {lost} of {len(table.runs)} runs no skin was found on any {group} test image under {name}"
                return replace(case, reason=reason)

    def step(group: str, axis: str, sign: int, null: float) -> Step:
        change = table.crossed[axis].test({(c, group): 1.0, (a, group): -1.0})
        name = f"change of {AXIS_NAMES[axis]} of {group} reconstructions from {a} to {c} (bound {number(null)})"
        return Step(name, change, sign, null)

    limit = rules.noticeable
    changing = tuple(step(compared, axis, sign, sign * limit) for axis in AXES for sign in (+1, -1))
    staying = all_of(*(step(reference, axis, -sign, sign * limit) for axis in AXES for sign in (+1, -1)))
    changes = {
        group: ", ".join(
            f"{AXIS_NAMES[axis]} {(table.values[axis][c, group] - table.values[axis][a, group]).mean():+.2f}"
            for axis in AXES
        )
        for group in pair
    }
    facts = f"From {a} to {c} the mean colour of reconstructions changes by {changes[compared]} ({compared}) and "
    return replace(case, facts=f"{facts}{changes[reference]} ({reference}).", clauses=(changing, *staying))


def adjusted_claim(table: RunTable, adjusted: pd.DataFrame, rules: Rules) -> Case:
    """C11: with equal representation (B) the compared MSE stays higher when the condition mix is held fixed.

    Args:
        table: run means, for the training sets of the design.
        adjusted: tables/adjusted.csv, the rows of the pair.
        rules: the declared rules.
    """
    under = FROZEN if FROZEN in table.shares else "B"
    case = Case(
        claim="C11",
        statement="The gap does not vanish when the condition mix is held fixed",
        source="v2 5.2, posed as a question",
        test="t over images and runs, two-way clustered variance, of the gap standardised over condition",
        rule=(
            f"supported: the standardised gap under {under} is positive, p at most {rules.alpha:g}; "
            f"contradicted: it is negative, or lies within {rules.vanishing:.0%} of the {table.pair.reference} mean, "
            f"Bonferroni-adjusted p at most {rules.alpha:g}; else inconclusive"
        ),
        table="adjusted",
        figure="adjusted_gaps",
    )
    names, reason = named_sets(table, "B")
    if reason:
        return replace(case, reason=reason)
    rows = adjusted[adjusted["train_set"] == names[0]].set_index("adjustment").to_dict("index")
    row, crude = rows["condition"], rows["none"]
    if np.isnan(row["gap"]):
        return replace(case, reason="no condition has enough test images of both groups (stats.min_images)")
    if np.isnan(row["p"]):
        return replace(case, reason=str(row["note"]))
    gap, p = float(row["gap"]), float(row["p"])
    opposite = p if gap < 0 else 1.0
    evidence = Evidence(
        name=f"MSE gap under {under} at equal condition mix",
        estimate=gap,
        low=float(row["ci_low"]),
        high=float(row["ci_high"]),
        level=1 - rules.alpha,
        p_for=p if gap > 0 else 1.0,
        p_against=min(1.0, 2 * min(opposite, float(row["p_vanish"]))),
        n=int(row["n_runs"]),
        test=row_test(row, "gap"),
        margin=abs(rules.vanishing * gap / float(row["relative"])) if gap else math.nan,
    )
    facts = (
        f"{setting(table)} the MSE gap is {number(crude['gap'])}; with the mix of the {row['n_strata']} "
        f"conditions that both groups have held fixed it is {number(gap)} ({row['coverage']:.0%} of the test images; "
        f"unadjusted on the same images {number(row['crude_gap'])})."
    )
    return replace(case, facts=facts, evidence=evidence)
