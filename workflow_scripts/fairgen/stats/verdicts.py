"""From tests to verdicts: supported, contradicted, inconclusive or not testable, by rules declared beforehand."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from fairgen.stats.paired import RunTest, run_test

COLUMNS = [
    "claim",
    "verdict",
    "estimate",
    "ci_low",
    "ci_high",
    "test",
    "p",
    "p_holm",
    "n",
    "sentence",
    "rule",
    "table",
    "figure",
    "statement",
    "source",
    "level",
]


@dataclass(frozen=True)
class Step:
    """One directional statement: the mean of `values` over runs lies above (`sign` +1) or below (-1) `null`."""

    name: str
    values: np.ndarray
    sign: int
    ratio: float  # n_test / n_train of the variance correction
    null: float = 0.0

    @cached_property
    def test(self) -> RunTest:
        """The corrected test of the values against `null`."""
        return run_test(self.values, self.ratio)

    def p_one_sided(self, direction: int) -> float:
        """Small when the mean lies on the claimed side (`direction` +1) or on the other one (-1)."""
        return self.test.p_above(self.null) if self.sign * direction > 0 else self.test.p_below(self.null)


@dataclass(frozen=True)
class Case:
    """A claim put to the data.

    `steps` must all hold for the claim to be supported. `reason` says why there is no test, otherwise it is
    empty. An equivalence claim is tested one-sided at alpha (its interval has the level 1 - 2 alpha), all
    others two-sided. `p_holm` is set where the claim belongs to a family that is adjusted elsewhere.
    """

    claim: str
    statement: str
    source: str
    test: str
    rule: str
    table: str
    figure: str
    facts: str = ""
    steps: tuple[Step, ...] = ()
    reason: str = ""
    equivalence: bool = False
    p_holm: float = math.nan


@dataclass(frozen=True)
class Judgement:
    """p of the claim (`p_for`) and of its opposite, and the step that decides."""

    p_for: float
    p_against: float
    step: Step

    @property
    def p(self) -> float:
        return min(self.p_for, self.p_against)


def judge(case: Case) -> Judgement:
    """Combine the steps of a claim.

    For the claim every step must hold, so the largest p counts (intersection-union test, Berger 1982), and
    needs no adjustment. Against it one step that fails is enough, so the smallest p counts, times the number
    of steps (Bonferroni). Each p is two-sided (one-sided for an equivalence claim).
    """
    sides = 1 if case.equivalence else 2
    p_for = [step.p_one_sided(+1) for step in case.steps]
    p_against = [step.p_one_sided(-1) for step in case.steps]
    largest = min(1.0, sides * max(p_for))
    smallest = min(1.0, sides * len(case.steps) * min(p_against))
    decisive = p_for.index(max(p_for)) if largest <= smallest or smallest >= 1 else p_against.index(min(p_against))
    return Judgement(largest, smallest, case.steps[decisive])


def untestable(case: Case, min_runs: int) -> str:
    """Why the claim has no test, or empty text."""
    if case.reason:
        return case.reason
    n = case.steps[0].test.n
    if n < min_runs:
        return f"{n} {'run' if n == 1 else 'runs'}, and a test over runs needs at least {min_runs} (stats.min_runs)"
    constant = [step.name for step in case.steps if not step.test.sd > 0]
    if constant:
        return f"all runs give the same number for {constant[0]}, so there is no variation to test against"
    return ""


def verdict_table(cases: Sequence[Case], alpha: float, min_runs: int) -> pd.DataFrame:
    """Judge every claim; Holm's method over those that are tested here.

    Returns:
        One row per claim, columns as in `COLUMNS`; estimate and interval are those of the deciding step, empty
        where there is none; `level` is the level of the interval.
    """
    reasons = {case.claim: untestable(case, min_runs) for case in cases}
    judged = {case.claim: judge(case) for case in cases if not reasons[case.claim]}
    own = [case.claim for case in cases if case.claim in judged and math.isnan(case.p_holm)]
    holm = dict(zip(own, multipletests([judged[name].p for name in own], method="holm")[1], strict=True)) if own else {}
    rows = []
    for case in cases:
        if case.claim in judged:
            rows.append(_judged_row(case, judged[case.claim], holm.get(case.claim, case.p_holm), alpha))
        else:
            rows.append(_untested_row(case, reasons[case.claim]))
    return pd.DataFrame(rows, columns=COLUMNS)


def _judged_row(case: Case, judgement: Judgement, p_holm: float, alpha: float) -> dict[str, object]:
    test = judgement.step.test
    level = 1 - 2 * alpha if case.equivalence else 1 - alpha
    low, high = test.interval(level)
    if p_holm > alpha:
        verdict = "inconclusive"
    else:
        verdict = "supported" if judgement.p_for <= judgement.p_against else "contradicted"
    which = f"Deciding among {len(case.steps)} tests: " if len(case.steps) > 1 else "Tested: "
    sentence = (
        f"{case.facts} {which}{judgement.step.name}, {number(test.mean)} ({100 * level:g} % interval {number(low)} to "
        f"{number(high)}; {test.n} runs; {p_text(judgement.p)}, Holm-adjusted {p_text(p_holm)})."
    )
    return _row(case, verdict, sentence) | {
        "estimate": test.mean,
        "ci_low": low,
        "ci_high": high,
        "test": case.test,
        "p": judgement.p,
        "p_holm": p_holm,
        "n": test.n,
        "level": level,
    }


def _untested_row(case: Case, reason: str) -> dict[str, object]:
    # An estimate without a test is shown only where one number is the claim's; never with an interval.
    alone = len(case.steps) == 1
    return _row(case, "not testable", f"{case.facts} Not tested: {reason}.".strip()) | {
        "estimate": case.steps[0].test.mean if alone else math.nan,
        "ci_low": math.nan,
        "ci_high": math.nan,
        "test": "",
        "p": math.nan,
        "p_holm": math.nan,
        "n": case.steps[0].test.n if case.steps else 0,
        "level": math.nan,
    }


def _row(case: Case, verdict: str, sentence: str) -> dict[str, object]:
    return {
        "claim": case.claim,
        "verdict": verdict,
        "sentence": sentence,
        "rule": case.rule,
        "table": case.table,
        "figure": case.figure,
        "statement": case.statement,
        "source": case.source,
    }


def number(value: float) -> str:
    """A number for a sentence: three significant digits."""
    return f"{value:.3g}"


def p_text(p: float) -> str:
    """A p value for a sentence."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}" if p < 0.1 else f"p = {p:.2f}"
