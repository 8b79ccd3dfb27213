"""The poster's claims P1 to P4 on the probes of this study, judged by rules declared beforehand."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from evenhand.stats.paired import run_test
from evenhand.stats.verdicts import Case, Step, verdict_table

LARGEST_FRACTION = 0.5  # the poster removes up to half of the features
CAVEAT = "A probe shows that the attribute can be decoded, not that a model uses it."


def probe_claims(
    units: Sequence[Mapping[str, object]], controls: Sequence[str], margin: float, alpha: float, min_runs: int
) -> pd.DataFrame:
    """One row per claim; it must hold in every series (embedding and attribute) to be supported.

    Args:
        units: from `contrast_units`.
        controls: attributes that are no group of people, such as the source of an image; the claims leave them out.
        margin: largest difference in AUC that counts as none.
    """
    cases = [_p1(_take(units, "chance", "attribute", controls), alpha)]
    cases.append(_p2(_take(units, "drop", "attribute", controls), margin, alpha))
    cases.append(_p3(_take(units, "drop", "disease", controls), margin, alpha))
    cases.append(_p4(_take(units, "top-minus-random", "attribute", controls), margin, alpha))
    table = verdict_table(cases, alpha, min_runs)
    if {entry["unit"] for entry in units} == {"fold"}:
        # The words of the verdicts speak of runs; with one run per embedding the tests are over its folds.
        table["sentence"] = table.sentence.str.replace(r"(\d+) runs?\b", r"\1 folds", regex=True)
    return table


def _take(
    units: Sequence[Mapping[str, object]], contrast: str, role: str, controls: Sequence[str]
) -> list[Mapping[str, object]]:
    return [
        entry
        for entry in units
        if entry["contrast"] == contrast
        and entry["role"] == role
        and entry["attribute"] not in controls
        and float(str(entry["fraction"])) <= LARGEST_FRACTION
    ]


def _step(
    entry: Mapping[str, object], what: str, sign: int, null: float, limits: tuple[float, float] = (-1, 1)
) -> Step:
    parts = (entry["dataset"], entry["model"], entry["train_set"], entry["attribute"])
    where = ", ".join(str(part) for part in parts if part)
    test = run_test(np.asarray(entry["values"]), float(str(entry["ratio"])))
    return Step(f"{what} ({where})", test, sign, null, limits)


def _case(claim: str, statement: str, steps: Sequence[Step], rule: str, reason: str, equivalence: bool) -> Case:
    # A probe that is right in every fold has no variation to test; where it meets the claim it needs no test.
    exact = [
        step for step in steps if step.test.note and step.test.n > 1 and step.sign * (step.test.mean - step.null) > 0
    ]
    tested = (
        steps if len(exact) == len(steps) else [step for step in steps if all(step is not other for other in exact)]
    )
    return Case(
        claim,
        statement,
        "poster",
        "corrected t (Nadeau and Bengio), " + ("one-sided" if equivalence else "two-sided") + ", all series",
        rule,
        "probe_tests",
        "probe_curves",
        facts=CAVEAT + (f" {len(exact)} of {len(steps)} hold alike in every unit." if exact else ""),
        clauses=tuple((step,) for step in tested),
        reason="" if steps else reason,
        equivalence=equivalence,
    )


def _p1(entries: Sequence[Mapping[str, object]], alpha: float) -> Case:
    steps = [_step(entry, "AUC of the probe", +1, 0.5, limits=(0, 1)) for entry in entries]
    rule = (
        f"supported: AUC above 0.5 in every series, Holm-adjusted p at most {alpha:g}; contradicted: below 0.5 in one, "
        "Bonferroni- and Holm-adjusted; else inconclusive"
    )
    return _case("P1", "Group membership can be read off the embeddings", steps, rule, "no attribute was probed", False)


def _margin_rule(quantity: str, margin: float, alpha: float) -> str:
    return (
        f"supported: {quantity} stays within {margin:g} AUC at every share up to {LARGEST_FRACTION:g} in every series, "
        f"Holm-adjusted p at most {alpha:g}; contradicted: one lies beyond, Bonferroni- and Holm-adjusted; else "
        "inconclusive"
    )


def _p2(entries: Sequence[Mapping[str, object]], margin: float, alpha: float) -> Case:
    steps = [_step(entry, f"AUC lost with {_percent(entry)} removed", -1, margin) for entry in entries]
    rule = _margin_rule("the loss after removal of the top-ranked features", margin, alpha)
    statement = "Removing up to 50 % of the most informative features changes that little"
    return _case("P2", statement, steps, rule, "no top-ranked features were removed", True)


def _p3(entries: Sequence[Mapping[str, object]], margin: float, alpha: float) -> Case:
    steps = [
        _step(entry, f"AUC of {entry['target']} lost with {_percent(entry)} removed", sign, -sign * margin)
        for entry in entries
        for sign in (+1, -1)
    ]
    rule = _margin_rule("the change of the disease probe, up or down,", margin, alpha)
    return _case("P3", "Disease prediction is unchanged by that removal", steps, rule, "no disease was probed", True)


def _p4(entries: Sequence[Mapping[str, object]], margin: float, alpha: float) -> Case:
    steps = [
        _step(entry, f"AUC after top-ranked less random removal of {_percent(entry)}", +1, -margin) for entry in entries
    ]
    rule = _margin_rule("what top-ranked removal costs beyond random removal", margin, alpha)
    reason = "no random removal to compare with (probe.random_draws)"
    return _case("P4", "The information is spread redundantly", steps, rule, reason, True)


def _percent(entry: Mapping[str, object]) -> str:
    return f"{100 * float(str(entry['fraction'])):g} %"
