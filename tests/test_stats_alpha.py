"""Every interval follows stats.alpha: with 0.1 each has the level 0.9, in every table and in every sentence."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulated import PAIR, Truth, run_stages, simulate_study, write_study

from evenhand.stats.prevalence import condition_mix, mix_claim, prevalence_table

# (lower end, upper end, centre): intervals that are symmetric about their centre and have a t quantile with R - 1
# degrees of freedom, so that half of the width at 0.1 is known from that at 0.05. `log`: on the logarithm.
T_INTERVALS = [
    ("gaps", "nb_low", "nb_high", "linear"),
    ("gaps", "naive_low", "naive_high", "linear"),
    ("samples", "ci_low", "ci_high", "linear"),
    ("tone_slopes", "ci_low", "ci_high", "log"),
    ("models", "ci_low", "ci_high", "log"),
]
RUNS = 3


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[float, dict[str, pd.DataFrame]]:
    """All tables of one study by alpha."""
    folder = tmp_path_factory.mktemp("study")
    write_study(folder)
    found = {}
    for alpha in (0.05, 0.1):
        paths = run_stages(folder, runs=RUNS, alpha=alpha)
        found[alpha] = {name: pd.read_csv(path) for name, path in paths.items()}
    return found


@pytest.mark.parametrize(("name", "low", "high", "scale"), T_INTERVALS)
def test_t_intervals(tables: dict[float, dict[str, pd.DataFrame]], name: str, low: str, high: str, scale: str) -> None:
    change = np.log if scale == "log" else lambda values: values
    widths = {alpha: change(found[name][high]) - change(found[name][low]) for alpha, found in tables.items()}
    known = widths[0.05].notna()
    assert known.any()
    ratio = stats.t.ppf(0.95, RUNS - 1) / stats.t.ppf(0.975, RUNS - 1)
    np.testing.assert_allclose(widths[0.1][known], ratio * widths[0.05][known], rtol=1e-4, atol=1e-12)


def test_no_interval_stays(tables: dict[float, dict[str, pd.DataFrame]]) -> None:
    """Whatever its kind: narrower at 0.1 in every table, for all pairs of columns that end in low and high."""
    seen = set()
    for name in tables[0.05]:
        wide, narrow = (tables[alpha][name] for alpha in (0.05, 0.1))
        for low in [column for column in wide if column.endswith("low")]:
            high = low.removesuffix("low") + "high"
            if name == "sweep":  # the set of the crossing is open at both ends here
                wide, narrow = (table[table["quantity"] != "crossing"] for table in (wide, narrow))
            if name == "claims":  # the deciding step may be another one
                continue
            both = wide[low].notna() & narrow[low].notna()
            if name == "condition_mix":  # of one class the distance is 0 and sure
                both &= wide["n_conditions"] > 1
            assert both.any(), (name, low)
            widths = [(table[high] - table[low])[both] for table in (wide, narrow)]
            assert (widths[1] < widths[0]).all(), (name, low)
            seen.add(name)
    assert seen >= {"condition_mix", "gaps", "adjusted", "models", "pooled_conditions", "uncertainty", "tone_curves"}


def test_claims_state_the_level(tables: dict[float, dict[str, pd.DataFrame]]) -> None:
    for alpha, found in tables.items():
        claims = found["claims"].dropna(subset="ci_low").set_index("claim")
        assert "C8" in claims.index
        for claim, row in claims.iterrows():
            level = 1 - (2 if claim in ("C6", "C9") else 1) * alpha
            assert row["level"] == pytest.approx(level), claim
            stated = set(re.findall(r"(\d+) % interval", row["sentence"]))
            # Facts quote two-sided intervals, also of claims that are tested one-sided.
            assert f"{100 * level:g}" in stated, claim
            assert stated <= {f"{100 * level:g}", f"{100 * (1 - alpha):g}"}, claim


def test_the_interval_of_the_condition_mix_is_its_quantiles() -> None:
    """C8: shifted quantiles of total variation, whose ends meet when the level falls to 0."""
    rows, _ = simulate_study(
        Truth(n_light=300, n_dark=200, test_size=100, train_size=50, runs=1), np.random.default_rng(0)
    )
    rows = rows.assign(condition_2="x", condition_3="y")
    table = prevalence_table(rows, rows["group"], [PAIR])
    ends = {level: condition_mix(table, 0, 500, level).set_index("level").loc["fine"] for level in (0.95, 0.9, 0.0)}
    assert ends[0.95]["tv_low"] < ends[0.9]["tv_low"] < ends[0.0]["tv_low"] == ends[0.0]["tv_high"]
    claim = mix_claim(condition_mix(table, 0, 500, 0.9), PAIR, 0.1, 0.2, 0.3)
    assert claim["level"] == 0.9
    assert "(90 % interval" in str(claim["sentence"])
