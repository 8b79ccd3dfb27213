"""From tests to verdicts: supported, contradicted, inconclusive or not testable, by rules declared beforehand."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from statsmodels.stats.multitest import multipletests

from evenhand.stats.paired import MeanTest

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
class Rules:
    """What was declared before the data.

    alpha: level of the verdicts; min_runs: fewest runs for a test; latent_std_margin: equivalence margin of C6
    as a fraction of the reference group's mean; slight: how much higher is still "slightly higher" (C4), as a fraction;
    max_mse: the bound of C10, pixels in [-1, 1]; noticeable: smallest shift of a colour coordinate that a viewer
    notices (C9), CIELAB units; vanishing: largest adjusted gap that counts as none (C11), as a fraction of the
    reference group's mean.
    """

    alpha: float
    min_runs: int
    latent_std_margin: float
    slight: float
    max_mse: float
    noticeable: float
    vanishing: float

    def all_steps(self, count: int) -> str:
        """The rule of a claim with several directional steps, as printed."""
        return (
            f"supported: each of the {count} steps goes the claimed way, Holm-adjusted p of the weakest at most "
            f"{self.alpha:g}; contradicted: a step goes the other way, Bonferroni- and Holm-adjusted p at most "
            f"{self.alpha:g}; else inconclusive"
        )

    def one_step(self) -> str:
        """The rule of a claim with one directional step, as printed."""
        return (
            f"supported: Holm-adjusted p at most {self.alpha:g} and the sign as claimed; contradicted: p likewise and "
            "the opposite sign; else inconclusive"
        )


def rules_from(stats: dict[str, Any]) -> Rules:
    """The rules that the `stats` block of a configuration declares."""
    claims = {key: stats["claims"][key] for key in ("slight", "max_mse", "noticeable", "vanishing")}
    return Rules(stats["alpha"], stats["min_runs"], stats["margins"]["latent_std"], **claims)


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
    """What a verdict rests on: p of the claim and of its opposite, and the number that decides, with its interval."""

    name: str
    estimate: float
    low: float
    high: float
    level: float
    p_for: float
    p_against: float
    n: int

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
    two-sided. `p_holm` is set where the claim belongs to a family that is adjusted elsewhere.
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
    p_holm: float = math.nan

    @property
    def steps(self) -> list[Step]:
        """All steps of all clauses."""
        return [step for clause in self.clauses for step in clause]

    @property
    def n(self) -> int:
        """Number of runs; 0 where the claim could not be put."""
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
    return Evidence(step.name, step.test.mean, low, high, level, p_for, p_against, step.test.n)


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
    if case.n < min_runs:
        runs = "run" if case.n == 1 else "runs"
        return f"{case.n} {runs}, and a test over runs needs at least {min_runs} (stats.min_runs)"
    for step in case.steps:
        if not step.test.se > 0:
            return f"{step.name}: {step.test.note}"
    return ""


def verdict_table(cases: Sequence[Case], alpha: float, min_runs: int) -> pd.DataFrame:
    """Judge every claim; Holm's method over those that are tested here.

    Returns:
        One row per claim, columns as in `COLUMNS`; estimate and interval are those of the deciding step, empty
        where there is none; `level` is the level of the interval.
    """
    reasons = {case.claim: untestable(case, min_runs) for case in cases}
    found = {case.claim: judge(case, alpha) for case in cases if not reasons[case.claim]}
    for name, evidence in list(found.items()):
        if math.isnan(evidence.p_for) or math.isnan(evidence.p_against):  # one would make all of Holm's p NaN
            reasons[name] = f"the test of the {evidence.name} has no p"
            del found[name]
    own = [case.claim for case in cases if case.claim in found and math.isnan(case.p_holm)]
    holm = dict(zip(own, multipletests([found[name].p for name in own], method="holm")[1], strict=True)) if own else {}
    rows = []
    for case in cases:
        if case.claim in found:
            rows.append(_judged_row(case, found[case.claim], float(holm.get(case.claim, case.p_holm)), alpha))
        else:
            rows.append(_untested_row(case, reasons[case.claim]))
    return pd.DataFrame(rows, columns=COLUMNS)


def _judged_row(case: Case, evidence: Evidence, p_holm: float, alpha: float) -> dict[str, object]:
    verdict = "inconclusive"
    if p_holm <= alpha:
        verdict = "supported" if evidence.p_for <= evidence.p_against else "contradicted"
    which = f"Deciding among {len(case.steps)} tests: " if len(case.steps) > 1 else "Tested: "
    sentence = (
        f"{case.facts} {which}{evidence.name}, {number(evidence.estimate)} ({100 * evidence.level:g} % interval "
        f"{number(evidence.low)} to {number(evidence.high)}; {evidence.n} runs; {p_text(evidence.p)}, Holm-adjusted "
        f"{p_text(p_holm)})."
    )
    return _row(case, verdict, sentence) | {
        "estimate": evidence.estimate,
        "ci_low": evidence.low,
        "ci_high": evidence.high,
        "test": case.test,
        "p": evidence.p,
        "p_holm": p_holm,
        "n": evidence.n,
        "level": evidence.level,
    }


def _untested_row(case: Case, reason: str) -> dict[str, object]:
    # An estimate without a test is shown only where one number is the claim's; never with an interval.
    estimate = case.evidence.estimate if case.evidence else math.nan
    if len(case.steps) == 1:
        estimate = case.steps[0].test.mean
    return _row(case, "not testable", f"{case.facts} Not tested: {reason}.".strip()) | {
        "estimate": estimate,
        "n": case.n,
        "test": "",
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
