"""A verdict on each claim of the paper, and on its controls."""

from collections.abc import Sequence

import pandas as pd

from evenhand.evaluation.measures import PRINCIPAL, RULED
from evenhand.splits.groups import groups_from, pairs_of
from evenhand.stats.claims import run_claims
from evenhand.stats.further_claims import codec_claim, ruler_claim, warning_claims
from evenhand.stats.gaps import run_table
from evenhand.stats.image_claims import adjusted_claim, colour_claim
from evenhand.stats.prevalence import mix_claim
from evenhand.stats.rows import optional_table, parse_tables, table_parser
from evenhand.stats.tone import AXES
from evenhand.stats.verdicts import COLUMNS, claim_order, rules_from, verdict_table
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = table_parser(__doc__, "stats, groups, margin (of the ruler)")
    args = parse_tables(
        parser,
        argv,
        reads=["runs", "covariances", "design", "adjusted", "codec", "condition_mix"],
        writes=["claims"],
        optional=["colour_runs", "colour_covariances", "ruler", "start_covariances", "uncertainty"],
    )

    stats = args.config["stats"]
    rules = rules_from(stats)
    pair = pairs_of(groups_from(args.config["groups"]))[0]  # the claims know two groups
    names = [name for name in ("adjusted", "codec", "condition_mix", "uncertainty") if name in args.read]
    tables = {name: read_table(args.read[name]) for name in names}
    of_pair = {name: table[table["compared"] == pair.compared] for name, table in tables.items()}
    design = read_table(args.read["design"])
    runs, covariances = (read_table(args.read[name]) for name in ("runs", "covariances"))
    starts = optional_table(args.read.get("start_covariances"))
    table = run_table(runs, covariances, design, pair, [name for name in PRINCIPAL if name in runs], starts=starts)
    ruled = [run_table(runs, covariances, design, pair, [name for name in RULED if name in runs], starts=starts)]
    colours = None  # C9 is then not testable
    if "colour_runs" in args.read:
        runs, covariances = (read_table(args.read[name]) for name in ("colour_runs", "colour_covariances"))
        colours = run_table(runs, covariances, design, pair, AXES, partial=True)
        of_ruler = [name for name in RULED if name in runs]
        ruled.append(run_table(runs, covariances, design, pair, of_ruler, partial=True))
    ruler = read_table(args.read["ruler"]) if "ruler" in args.read else None  # R1 is then not testable
    cases = [
        *run_claims(table, rules),
        colour_claim(colours, pair, rules),
        adjusted_claim(table, of_pair["adjusted"], rules),
        codec_claim(table, of_pair["codec"], rules),
        ruler_claim(ruled, ruler, pair, rules, args.config["margin"]),
        *warning_claims(of_pair.get("uncertainty"), pair, rules),
    ]
    claims = verdict_table(cases, rules.alpha, rules.min_runs)
    of_mix = mix_claim(of_pair["condition_mix"], pair, rules.alpha, stats["mix"]["little"], stats["mix"]["much"])
    claims = pd.concat([claims, pd.DataFrame([of_mix], columns=COLUMNS)], ignore_index=True)
    in_order = claims["claim"].map(claim_order).sort_values()
    claims = claims.loc[in_order.index].reset_index(drop=True)
    for row in claims.itertuples():
        print(f"{row.claim}: {row.verdict}. {row.sentence}")
    write_csv(claims, args.write["claims"])


if __name__ == "__main__":
    run(main)
