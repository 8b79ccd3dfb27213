"""The paper's claims that rest on means of errors and latents (C1 to C7 and C10), each as the contrasts that must hold.

Training sets are addressed by their share of the compared group: A is 0, B is 0.5, C is 1.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from evenhand.evaluation.measures import MEASURES
from evenhand.splits.groups import FROZEN
from evenhand.stats.crossed import Cell
from evenhand.stats.gaps import RunTable, slope_cells
from evenhand.stats.verdicts import Case, Rules, Step, all_of, number

SHARES = {"A": 0.0, "B": 0.5, "C": 1.0}  # of the compared group in the paper's training sets
NO_TRAINING = "not applicable: a frozen model has no training sets"
NO_LATENT_STD = "not applicable: latents of this model family have no standard deviation"
CROSSED_T = "t over images and runs, two-way clustered variance, two-sided"


def named_sets(table: RunTable, *letters: str) -> tuple[tuple[str, ...], str]:
    """The training sets that stand for the paper's letters, and why one is missing or ambiguous (or "").

    What is asked of B alone is asked of frozen models, too.
    """
    if FROZEN in table.shares:
        return ((FROZEN,), "") if letters == ("B",) else ((), NO_TRAINING)
    names = []
    candidates = table.of_pair_alone()
    alone = f" of {' and '.join(table.pair)} images alone" if len(candidates) < len(table.shares) else ""
    for letter in letters:
        matches = [name for name, share in candidates.items() if share == SHARES[letter]]
        if len(matches) != 1:
            count = f"{len(matches)} training sets" if matches else "no training set"
            share = f"a {table.pair.compared} share of {SHARES[letter]:g}"
            return (), f"the design has {count}{alone} with {share} ({letter} of the paper)"
        names.append(matches[0])
    return tuple(names), ""


def setting(table: RunTable) -> str:
    """The models that claims about equal representation are judged by: those of B, or those that are not trained."""
    return "With a frozen model" if FROZEN in table.shares else "With equal representation"


def claimed(table: RunTable) -> str:
    """How the statement of such a claim begins."""
    return setting(table) if FROZEN in table.shares else f"{setting(table)} (B)"


def run_claims(table: RunTable, rules: Rules) -> list[Case]:
    """C1 to C7 and C10 as cases to be judged, in this order.

    Args:
        table: run means of mse, and of latent_std where the models' family gives it.
        rules: the declared rules.
    """
    return [
        _c1(table, rules),
        _c2(table, rules),
        _c3(table, rules),
        _c4(table, rules),
        _c5(table, rules),
        _c6(table, rules),
        _c7(table, rules),
        _c10(table, rules),
    ]


def _c1(table: RunTable, rules: Rules) -> Case:
    reference, compared = table.pair
    expected = ((compared, -1), (reference, +1))
    case = Case(
        claim="C1",
        statement=f"{compared[:1].upper()}{compared[1:]} MSE falls and {reference} MSE rises from A to B to C",
        source="v2 4.1",
        test=CROSSED_T + ", all steps",
        rule=rules.all_steps(4),
        table="runs",
        figure="mse_boxes",
    )
    shares = sorted(set(table.of_pair_alone().values()))
    if len(shares) >= 3 and shares != sorted(SHARES.values()):
        steps = tuple(_trend(table, "mse", (group,), sign) for group, sign in expected)
        facts = f"Over {len(shares)} {compared} shares the trends of the mean MSE are " + " and ".join(
            f"{number(step.test.mean)} per unit of {compared} share ({group})"
            for (group, _), step in zip(expected, steps, strict=True)
        )
        trend_test = f"least-squares slopes, {CROSSED_T}, both slopes"
        return replace(case, facts=facts + ".", clauses=all_of(*steps), test=trend_test, rule=rules.all_steps(2))
    names, reason = named_sets(table, "A", "B", "C")
    if reason:
        return replace(case, reason=reason)
    of = table.crossed["mse"]
    steps = tuple(
        Step(
            f"{group} MSE under {second} minus under {first}",
            of.test({(second, group): 1.0, (first, group): -1.0}),
            sign,
        )
        for group, sign in expected
        for first, second in pairwise(names)
    )
    facts = "; ".join(
        f"{group} images " + ", ".join(f"{number(table.values['mse'][name, group].mean())} ({name})" for name in names)
        for group, _ in expected
    )
    return replace(case, facts=f"Mean MSE of {facts}.", clauses=all_of(*steps))


def _c2(table: RunTable, rules: Rules) -> Case:
    reference, compared = table.pair
    case = Case(
        claim="C2",
        statement=f"{claimed(table)} {compared} MSE is higher than {reference} MSE",
        source="v1, v2 4.2",
        test=CROSSED_T,
        rule=rules.one_step_or_none(reference),
        table="gaps",
        figure="mse_boxes",
    )
    names, reason = named_sets(table, "B")
    if reason:
        return replace(case, reason=reason)
    (b,) = names
    return replace(
        case,
        facts=_compared(table, rules, setting(table), (b, compared), (b, reference)),
        clauses=all_of(
            Step(f"MSE gap under {b} ({table.difference})", table.crossed["mse"].test(table.gap_cells(b)), +1)
        ),
        margin=_margin(table, rules, b),
    )


def _c3(table: RunTable, rules: Rules) -> Case:
    reference, compared = table.pair
    case = Case(
        claim="C3",
        statement=f"Worst case: {compared} under A has higher MSE than {reference} under C",
        source="v2 4.2",
        test=CROSSED_T,
        rule=rules.one_step_or_none(reference),
        table="runs",
        figure="mse_boxes",
    )
    names, reason = named_sets(table, "A", "C")
    if reason:
        return replace(case, reason=reason)
    a, c = names
    difference = table.crossed["mse"].test({(a, compared): 1.0, (c, reference): -1.0})
    step = Step(f"{compared} MSE under {a} minus {reference} MSE under {c}", difference, +1)
    facts = _compared(table, rules, "Worst cases", (a, compared), (c, reference))
    return replace(case, facts=facts, clauses=all_of(step), margin=_margin(table, rules, c))


def _c4(table: RunTable, rules: Rules) -> Case:
    reference, compared = table.pair
    case = Case(
        claim="C4",
        statement=f"Best case: {compared} under C has slightly higher MSE than {reference} under A",
        source="v2 4.2",
        test=CROSSED_T + ", both steps",
        rule=f'{rules.all_steps(2)} ("slightly": at most {rules.slight:.0%} higher)',
        table="runs",
        figure="mse_boxes",
    )
    names, reason = named_sets(table, "A", "C")
    if reason:
        return replace(case, reason=reason)
    a, c = names
    steps = tuple(
        Step(
            f"{compared} MSE under {c} minus {'' if factor == 1 else f'{factor:g} times '}{reference} MSE under {a}",
            table.crossed["mse"].test({(c, compared): 1.0, (a, reference): -factor}),
            sign,
        )
        for factor, sign in ((1.0, +1), (1 + rules.slight, -1))
    )
    facts = _compared(table, rules, "Best cases", (c, compared), (a, reference))
    return replace(case, facts=facts, clauses=all_of(*steps))


def _c5(table: RunTable, rules: Rules) -> Case:
    case = Case(
        claim="C5",
        statement="Under C the gap reverses and is smaller in size than under A",
        source="v1",
        test=CROSSED_T + ", both steps",
        rule=rules.all_steps(2),
        table="gaps",
        figure="mse_boxes",
    )
    names, reason = named_sets(table, "A", "C")
    if reason:
        return replace(case, reason=reason)
    a, c = names
    gap_a, gap_c = table.gap("mse", a), table.gap("mse", c)
    of = table.crossed["mse"]
    steps = (
        Step(f"MSE gap under {c} ({table.difference})", of.test(table.gap_cells(c)), -1),
        # With a negative gap under C, a positive sum says that the gap under A is positive and the larger one.
        Step(f"MSE gap under {a} plus MSE gap under {c}", of.test(table.gap_cells(a) | table.gap_cells(c)), +1),
    )
    gaps = f"{number(gap_a.mean())} under {a} and {number(gap_c.mean())} under {c}"
    return replace(case, facts=f"The MSE gap ({table.difference}) is {gaps}.", clauses=all_of(*steps))


def _c6(table: RunTable, rules: Rules) -> Case:
    reference, compared = table.pair
    case = Case(
        claim="C6",
        statement="The latent standard deviation does not differ between the test groups",
        source="v1, v2 4.3",
        test="two one-sided t over images and runs in every training set, two-way clustered variance",
        rule=(
            f"supported: in every training set the gap lies within {rules.latent_std_margin:.0%} of the {reference} "
            f"mean, p of the weakest at most {rules.alpha:g}; contradicted: in one it lies outside, "
            f"Bonferroni-adjusted p at most {rules.alpha:g}; else inconclusive"
        ),
        table="gaps",
        figure="latent_std_boxes",
        equivalence=True,
    )
    if "latent_std" not in table.values:
        return replace(case, reason=NO_LATENT_STD)
    std = table.values["latent_std"]
    steps = []
    for name in table.shares:
        margin = rules.latent_std_margin * abs(std[name, reference].mean())
        for sign in (+1, -1):
            steps.append(
                Step(
                    f"latent standard deviation gap under {name} (bound {number(-sign * margin)})",
                    table.crossed["latent_std"].test(table.gap_cells(name)),
                    sign,
                    null=-sign * margin,
                )
            )
    ratios = ", ".join(f"{_ratio(std[name, compared], std[name, reference]):.3f} ({name})" for name in table.shares)
    facts = f"The mean latent standard deviation of {compared} images over that of {reference} images is {ratios}."
    return replace(case, facts=facts, clauses=all_of(*steps))


def _c7(table: RunTable, rules: Rules) -> Case:
    case = Case(
        claim="C7",
        statement=f"The latent standard deviation falls as the {table.pair.compared} share of the training set rises",
        source="v2 4.3",
        test=f"least-squares slope, {CROSSED_T}",
        rule=rules.one_step(),
        table="runs",
        figure="latent_std_boxes",
    )
    if "latent_std" not in table.values:
        return replace(case, reason=NO_LATENT_STD)
    alone = table.of_pair_alone()
    if FROZEN in table.shares:
        return replace(case, reason=NO_TRAINING)
    if len(set(alone.values())) < 2:
        reason = f"a trend needs training sets with at least two different {table.pair.compared} shares"
        return replace(case, reason=reason)
    means = ", ".join(
        f"{number(np.mean([table.values['latent_std'][name, group].mean() for group in table.pair]))} ({name})"
        for name in alone
    )
    step = _trend(table, "latent_std", table.pair, -1)
    return replace(case, facts=f"The mean latent standard deviation over both groups is {means}.", clauses=all_of(step))


def _c10(table: RunTable, rules: Rules) -> Case:
    cells = table.values["mse"]
    (worst_set, worst_group), worst = max(
        ((cell, float(values.mean())) for cell, values in cells.items()), key=lambda cell: cell[1]
    )
    below = sum(values.mean() < rules.max_mse for values in cells.values())
    return Case(
        claim="C10",
        statement=f"The mean MSE is below {rules.max_mse:g} (pixels in [-1, 1])",
        source="v1, v2 4",
        facts=(
            f"{below} of {len(cells)} means (training set by test group) are below {rules.max_mse:g}; the highest is "
            f"{number(worst)}, {worst_group} images under {worst_set}."
        ),
        clauses=all_of(
            Step(
                "mean MSE over training sets and test groups",
                table.crossed["mse"].test(dict.fromkeys(cells, 1 / len(cells))),
                -1,
                null=rules.max_mse,
            )
        ),
        test=f"{CROSSED_T}, against the bound",
        rule=rules.one_step(),
        table="headline",
        figure="mse_boxes",
    )


def _compared(table: RunTable, rules: Rules, opening: str, first: Cell, second: Cell) -> str:
    """The ratio of two mean MSEs in words, with its interval where there is one."""
    x, y = table.values["mse"][first], table.values["mse"][second]
    if y.mean() == 0:
        return f"{opening}: the mean MSE of {second[1]} images under {second[0]} is 0, which has no ratio."
    ratio = table.crossed["mse"].test({first: 1.0, second: -1.0}, log=True)
    low, high = ratio.factor(1 - rules.alpha)
    interval = "" if np.isnan(low) else f" ({100 * (1 - rules.alpha):g} % interval {low:.2f} to {high:.2f})"
    return (
        f"{opening}: the mean MSE of {first[1]} images under {first[0]} is {x.mean() / y.mean():.2f} times{interval} "
        f"that of {second[1]} images under {second[0]} ({number(x.mean())} against {number(y.mean())})."
    )


def _margin(table: RunTable, rules: Rules, train_set: str) -> float:
    """The largest difference in MSE that is not relevant, from the reference mean under a training set."""
    return rules.mse_margin * float(table.values["mse"][train_set, table.pair.reference].mean())


def _ratio(x: np.ndarray, y: np.ndarray) -> float:
    """The ratio of two means, NaN where the second is 0."""
    return float(x.mean() / y.mean()) if y.mean() else float("nan")


def _trend(table: RunTable, metric: str, groups: tuple[str, ...], sign: int) -> Step:
    which = " and ".join(groups)
    measure = MEASURES[metric].short or MEASURES[metric].title
    name = f"change of the mean {measure} of {which} images from a {table.pair.compared} share of 0 to 1"
    return Step(name, table.crossed[metric].test(slope_cells(table, groups)), sign)
