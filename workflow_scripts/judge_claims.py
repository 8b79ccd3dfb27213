"""A verdict on each claim of the paper: supported, contradicted, inconclusive or not testable."""

import argparse
import json
from collections.abc import Sequence

import pandas as pd

from fairgen.errors import run
from fairgen.files import write_csv
from fairgen.stats.claims import Rules, run_claims
from fairgen.stats.gaps import run_table
from fairgen.stats.prevalence import mix_claim
from fairgen.stats.verdicts import COLUMNS, verdict_table


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-means", required=True, help="tables/runs.csv")
    parser.add_argument("--design", required=True, help="tables/design.csv")
    parser.add_argument("--gaps", required=True, help="tables/gaps.csv")
    parser.add_argument("--condition-mix", required=True, help="tables/condition_mix.csv")
    parser.add_argument("--config", required=True, type=json.loads, help='JSON: {"stats": {...}}')
    parser.add_argument("--output", required=True, help="CSV: one row per claim")
    args = parser.parse_args(argv)

    stats = args.config["stats"]
    rules = Rules(stats["alpha"], stats["min_runs"], stats["margins"]["latent_std"], **stats["claims"])
    text = {"train_set": str}
    table = run_table(
        pd.read_csv(args.run_means, dtype=text), pd.read_csv(args.design, dtype=text), ["mse", "latent_std"]
    )
    cases = run_claims(table, pd.read_csv(args.gaps, dtype=text), rules)
    claims = verdict_table(cases, rules.alpha, rules.min_runs)
    mix = mix_claim(pd.read_csv(args.condition_mix), rules.alpha, stats["mix"]["little"], stats["mix"]["much"])
    claims = pd.concat([claims, pd.DataFrame([mix], columns=COLUMNS)], ignore_index=True)
    claims = claims.sort_values("claim", key=lambda column: column.str[1:].astype(int), ignore_index=True)
    for row in claims.itertuples():
        print(f"{row.claim}: {row.verdict}. {row.sentence}")
    write_csv(claims, args.output)


if __name__ == "__main__":
    run(main)
