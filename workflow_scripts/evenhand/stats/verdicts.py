"""From tests to verdicts, by rules declared beforehand; and what would decide where they do not."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from statsmodels.stats.multitest import multipletests

from evenhand.stats.paired import MeanTest, tost_p, ways_to_decide, what_decides

COLUMNS = [
    "claim",
    "verdict",
    "estimate",
    "ci_low",
    "ci_high",
    "null_value",
    "margin",
    "test",
    "p",
    "p_holm",
    "survives",
    "n",
    "detectable",
    "runs_needed",
    "images_needed",
    "sentence",
    "rule",
    "table",
    "figure",
    "statement",
    "source",
    "level",
]


@dataclass(frozen=True)
class Rules:
    """What was declared before the data.

    alpha: level of the verdicts; min_runs: fewest runs for a test; latent_std_margin, mse_margin: the largest
    difference that is not relevant, as fractions of the reference group's mean; slight: how much higher is still
    "slightly higher" (C4), as a fraction; max_mse: the bound of C10, pixels in [-1, 1]; noticeable: smallest shift of a
    colour coordinate that a viewer notices (C9), CIELAB units; vanishing: largest adjusted gap that counts as none
    (C11), as a fraction of the reference group's mean.
    """

    alpha: float
    min_runs: int
    latent_std_margin: float
    mse_margin: float
    slight: float
    max_mse: float
    noticeable: float
    vanishing: float

    def all_steps(self, count: int) -> str:
        """The rule of a claim with several directional steps, as printed."""
        return (
            f"supported: each of the {count} steps goes the claimed way, p of the weakest at most {self.alpha:g}; "
            f"contradicted: a step goes the other way, Bonferroni-adjusted p at most {self.alpha:g}; else inconclusive"
        )

    def one_step(self) -> str:
        """The rule of a claim with one directional step, as printed."""
        return (
            f"supported: p at most {self.alpha:g} and the sign as claimed; contradicted: p likewise and the opposite "
            "sign; else inconclusive"
        )

    def one_step_or_none(self, reference: str) -> str:
        """The rule of a claim on MSE with one directional step, of which it can be told that it is small."""
        return self.one_step().replace(
            "else inconclusive",
            f"no relevant difference: neither, and within {self.mse_margin:.0%} of the {reference} mean, two one-sided "
            f"p at most {self.alpha:g}; else inconclusive",
        )


def rules_from(stats: dict[str, Any]) -> Rules:
    """The rules that the `stats` block of a configuration declares."""
    claims = {key: stats["claims"][key] for key in ("slight", "max_mse", "noticeable", "vanishing")}
    margins = stats["margins"]
    return Rules(stats["alpha"], stats["min_runs"], margins["latent_std"], margins["mse"], **claims)


@dataclass(frozen=True)
class Step:
    """One directional statement: the mean lies above (`sign` +1) or below (-1) `null`."""

    name: str
    test: MeanTest
    sign: int
    null: float = 0.0
    limits: tuple[float, float] = (-math.inf, math.inf)  # of what the mean can be; the interval ends there

    def p_one_sided(self, direction: int) -> float:
        """Small when the mean lies on the claimed side (`direction` +1) or on the other one (-1)."""
        return self.test.p_above(self.null) if self.sign * direction > 0 else self.test.p_below(self.null)


Clause = tuple[Step, ...]


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on: p of the claim and of its opposite, and the number that decides, with its interval.

    `n` is the number of runs, or of what `counts` names, for a test within one run. `test` and `null` are those of the
    number; `margin`: the largest size of the number that is not relevant, NaN where none was declared; `p_none`: p of
    no relevant difference, where it was tested.
    """

    name: str
    estimate: float
    low: float
    high: float
    level: float
    p_for: float
    p_against: float
    n: int
    test: MeanTest | None = None
    null: float = 0.0
    margin: float = math.nan
    p_none: float = 1.0
    counts: str = "runs"

    @property
    def p(self) -> float:
        """The smaller of the two."""
        return min(self.p_for, self.p_against)


@dataclass(frozen=True)
class Case:
    """A claim put to the data.

    `clauses` must all hold for the claim to be supported, and a clause holds when any of its steps does; or
    `evidence` brings the p values of a test that is not over runs. `reason` says why there is no test, otherwise it
    is empty. An equivalence claim is tested one-sided at alpha (its interval has the level 1 - 2 alpha), all others
    two-sided. `margin`: the largest size of the one step's number that is not relevant; 0 where none was declared.
    """

    claim: str
    statement: str
    source: str
    test: str
    rule: str
    table: str
    figure: str
    facts: str = ""
    clauses: tuple[Clause, ...] = ()
    evidence: Evidence | None = None
    reason: str = ""
    equivalence: bool = False
    margin: float = 0.0

    @property
    def steps(self) -> list[Step]:
        """All steps of all clauses."""
        return [step for clause in self.clauses for step in clause]

    @property
    def n(self) -> int:
        """Number of runs, or as the evidence counts; 0 where the claim could not be put."""
        return self.evidence.n if self.evidence else self.steps[0].test.n if self.clauses else 0


def all_of(*steps: Step) -> tuple[Clause, ...]:
    """Clauses of one step each: all must hold."""
    return tuple((step,) for step in steps)


def judge(case: Case, alpha: float) -> Evidence:
    """Combine the steps of a claim.

    For the claim every clause must hold, so the largest p counts (intersection-union test, Berger 1982) and needs no
    adjustment; within a clause one step is enough, so the smallest p counts, times the number of steps
    (Bonferroni). Against the claim it is the other way round. Each p is two-sided, or one-sided for an equivalence
    claim. The step that decides gives estimate and interval.
    """
    if case.evidence:
        return case.evidence
    sides = 1 if case.equivalence else 2
    clauses_for = [_smallest([step.p_one_sided(+1) for step in clause]) for clause in case.clauses]
    clauses_against = [_largest([step.p_one_sided(-1) for step in clause]) for clause in case.clauses]
    p_for, weakest = _largest([p for p, _ in clauses_for])
    p_against, strongest = _smallest([p for p, _ in clauses_against])
    p_for, p_against = min(1.0, sides * p_for), min(1.0, sides * p_against)
    if p_for <= p_against or p_against >= 1:
        step = case.clauses[weakest][clauses_for[weakest][1]]
    else:
        step = case.clauses[strongest][clauses_against[strongest][1]]
    level = 1 - 2 * alpha if case.equivalence else 1 - alpha
    low, high = (min(max(end, step.limits[0]), step.limits[1]) for end in step.test.interval(level))
    none = tost_p(step.test, case.margin) if case.margin else 1.0
    found = (step.name, step.test.mean, low, high, level, p_for, p_against, step.test.n)
    bounded = any(other.null == -step.null != 0 for other in case.steps)  # on both sides of 0
    margin = case.margin or (abs(step.null) if bounded else math.nan)
    return Evidence(*found, test=step.test, null=step.null, margin=margin, p_none=none)


def _largest(p: Sequence[float]) -> tuple[float, int]:
    """All must hold: the largest p, and whose it is."""
    return max(p), p.index(max(p))


def _smallest(p: Sequence[float]) -> tuple[float, int]:
    """One is enough: the smallest p times their number, and whose it is."""
    return len(p) * min(p), p.index(min(p))


def untestable(case: Case, min_runs: int) -> str:
    """Why the claim has no test, or empty text."""
    if case.reason:
        return case.reason
    over_runs = case.evidence is None or case.evidence.counts == "runs"
    if over_runs and case.n < min_runs:
        runs = "run" if case.n == 1 else "runs"
        return f"{case.n} {runs}, and a test over runs needs at least {min_runs} (stats.min_runs)"
    for step in case.steps:
        if not step.test.se > 0:
            return f"{step.name}: {step.test.note}"
    return ""


def claim_order(name: str) -> tuple[str, int]:
    """Where a claim stands among others: by its letter, then by its number, C2 before C10."""
    return name[0], int(name[1:])


def verdict_table(cases: Sequence[Case], alpha: float, min_runs: int) -> pd.DataFrame:
    """Judge every claim at its own level; beside it whether the verdict survives Holm's method over all tested here.

    Returns:
        One row per claim, columns as in `COLUMNS`; estimate and interval are those of the deciding step, empty
        where there is none; `level` is the level of the interval; `null_value` is what the estimate is tested against,
        `margin` the largest size that is not relevant; `detectable` is the smallest effect found with 80 %
        power, runs_needed and images_needed (a factor) say what an inconclusive claim would need.
    """
    reasons = {case.claim: untestable(case, min_runs) for case in cases}
    found = {case.claim: judge(case, alpha) for case in cases if not reasons[case.claim]}
    for name, evidence in list(found.items()):
        if math.isnan(evidence.p_for) or math.isnan(evidence.p_against):  # one would make all of Holm's p NaN
            reasons[name] = f"the test of the {evidence.name} has no p"
            del found[name]
    of_verdicts = {
        name: evidence.p if evidence.p <= alpha else min(evidence.p, evidence.p_none)
        for name, evidence in found.items()
    }
    holm = dict(zip(found, multipletests(list(of_verdicts.values()), method="holm")[1], strict=True)) if found else {}
    rows = []
    for case in cases:
        if case.claim in found:
            rows.append(_judged_row(case, found[case.claim], float(holm[case.claim]), alpha))
        else:
            rows.append(_untested_row(case, reasons[case.claim]))
    return pd.DataFrame(rows, columns=COLUMNS)


def _judged_row(case: Case, evidence: Evidence, p_holm: float, alpha: float) -> dict[str, object]:
    verdict = "inconclusive"
    if evidence.p <= alpha:
        verdict = "supported" if evidence.p_for <= evidence.p_against else "contradicted"
    elif evidence.p_none <= alpha:
        verdict = "no relevant difference"
    survives = verdict != "inconclusive" and p_holm <= alpha
    which = f"Deciding among {len(case.steps)} tests: " if len(case.steps) > 1 else "Tested: "
    sentence = (
        f"{case.facts} {which}{evidence.name}, {number(evidence.estimate)} ({100 * evidence.level:g} % interval "
        f"{number(evidence.low)} to {number(evidence.high)}; {evidence.n} {evidence.counts}; {p_text(evidence.p)}, "
        f"Holm-adjusted {p_text(p_holm)})."
    )
    if case.margin and evidence.test:
        low, high = evidence.test.interval(1 - 2 * alpha)
        sentence += (
            f" {100 * (1 - 2 * alpha):g} % interval {number(low)} to {number(high)}, to hold against the margin of "
            f"{number(case.margin)} ({p_text(evidence.p_none)})."
        )
    needed: dict[str, float] = {"detectable": math.nan, "runs_needed": math.nan, "images_needed": math.nan}
    if evidence.test:
        distance = evidence.estimate - evidence.null
        needed = what_decides(evidence.test, distance, alpha, 1 if case.equivalence else 2)
        if verdict == "inconclusive":
            sentence += " " + needed_text(needed, evidence)
        else:
            needed |= {"runs_needed": math.nan, "images_needed": math.nan}
    numbers = {"estimate": evidence.estimate, "ci_low": evidence.low, "ci_high": evidence.high, "p": evidence.p}
    numbers |= {"null_value": evidence.null, "margin": evidence.margin}
    numbers |= {"p_holm": p_holm, "n": evidence.n, "level": evidence.level} | needed
    return _row(case, verdict, sentence) | numbers | {"test": case.test, "survives": survives}


def needed_text(needed: dict[str, float], evidence: Evidence) -> str:
    """What would decide an inconclusive claim, in words."""
    return (
        f"If the estimate were true, 80 % power would take {ways_to_decide(needed)}. The smallest distance from "
        f"{number(evidence.null)} that a study of this size finds with 80 % power is {number(needed['detectable'])}."
    )


def _untested_row(case: Case, reason: str) -> dict[str, object]:
    # An estimate without a test is shown only where one number is the claim's; never with an interval.
    estimate = case.evidence.estimate if case.evidence else math.nan
    if len(case.steps) == 1:
        estimate = case.steps[0].test.mean
    return _row(case, "not testable", f"{case.facts} Not tested: {reason}.".strip()) | {
        "estimate": estimate,
        "n": case.n,
        "test": "",
        "survives": False,
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
