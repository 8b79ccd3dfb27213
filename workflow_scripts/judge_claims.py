"""A verdict on each claim of the paper: supported, contradicted, inconclusive or not testable."""

import argparse
import json
from collections.abc import Sequence

import pandas as pd

from evenhand.stats.claims import run_claims
from evenhand.stats.colour import AXES
from evenhand.stats.gaps import run_table
from evenhand.stats.image_claims import adjusted_claim, colour_claim
from evenhand.stats.prevalence import mix_claim
from evenhand.stats.rules import rules_from
from evenhand.stats.verdicts import COLUMNS, verdict_table
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-means", required=True, help="tables/runs.csv")
    parser.add_argument("--design", required=True, help="tables/design.csv")
    parser.add_argument("--gaps", required=True, help="tables/gaps.csv")
    parser.add_argument("--adjusted", required=True, help="tables/adjusted.csv")
    parser.add_argument("--colour-runs", help="tables/colour_runs.csv; without it C9 is not testable")
    parser.add_argument("--condition-mix", required=True, help="tables/condition_mix.csv")
    parser.add_argument("--config", required=True, type=json.loads, help='JSON: {"stats": {...}}')
    parser.add_argument("--output", required=True, help="CSV: one row per claim")
    args = parser.parse_args(argv)

    stats = args.config["stats"]
    rules = rules_from(stats)
    design = read_table(args.design)
    table = run_table(read_table(args.run_means), design, ["mse", "latent_std"])
    colours = run_table(read_table(args.colour_runs), design, AXES, partial=True) if args.colour_runs else None
    cases = [
        *run_claims(table, read_table(args.gaps), rules),
        colour_claim(colours, rules),
        adjusted_claim(table, read_table(args.adjusted), rules),
    ]
    claims = verdict_table(cases, rules.alpha, rules.min_runs)
    mix = mix_claim(read_table(args.condition_mix), rules.alpha, stats["mix"]["little"], stats["mix"]["much"])
    claims = pd.concat([claims, pd.DataFrame([mix], columns=COLUMNS)], ignore_index=True)
    claims = claims.sort_values("claim", key=lambda column: column.str[1:].astype(int), ignore_index=True)
    for row in claims.itertuples():
        print(f"{row.claim}: {row.verdict}. {row.sentence}")
    write_csv(claims, args.output)


if __name__ == "__main__":
    run(main)
