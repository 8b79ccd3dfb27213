"""Tables and verdicts of the probes of all embeddings."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from evenhand.probes.claims import probe_claims
from evenhand.probes.left_out import count_warnings, not_probed_table
from evenhand.probes.tables import contrast_table, contrast_units, curve_table, poster_table, run_ratios, set_table
from evenhand.workflow.errors import UserError, run
from evenhand.workflow.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", required=True, type=Path, help="results/<study>/probes")
    parser.add_argument("--settings", required=True, type=Path, help="settings/probes.json: embeddings and rules")
    parser.add_argument("--design", help="tables/design.csv; needed where an embedding has several runs")
    for name in ("folds", "counts", "left-out", "poster", "curves", "tests", "sets", "claims"):
        parser.add_argument(f"--{name}", required=True, help=f"CSV to write: tables/probe_{name}.csv")
    args = parser.parse_args(argv)

    settings = json.loads(args.settings.read_text("utf-8"))
    sources, rules, alpha = settings["embeddings"], settings["rules"], settings["rules"]["alpha"]
    folds, counts, left_out = (
        _collect(args.folder, sources, f"{name}.csv") for name in ("folds", "counts", "left_out")
    )
    design = read_table(args.design).set_index("train_set") if args.design else pd.DataFrame()
    sizes = {str(name): (row["test_size"], row["distinct"]) for name, row in design.iterrows()}
    unseen = {source["source"] for source in sources if source["unseen"]}
    ratios = run_ratios(folds, sizes, unseen)
    units = contrast_units(folds, ratios)
    claims = probe_claims(units, rules["controls"], rules["margin"], alpha, rules["min_runs"])
    for row in claims.itertuples():
        print(f"{row.claim}: {row.verdict}. {row.sentence}")
    write_csv(folds, args.folds)
    write_csv(counts.assign(warnings=count_warnings(counts)), args.counts)
    write_csv(not_probed_table(left_out, sources), args.left_out)
    write_csv(poster_table(folds, counts, sorted(rules["fractions"])), args.poster)
    write_csv(curve_table(folds, ratios, alpha), args.curves)
    write_csv(contrast_table(units, alpha), args.tests)
    write_csv(set_table(folds, ratios, alpha), args.sets)
    write_csv(claims, args.claims)


def _collect(folder: Path, sources: Sequence[dict[str, str | int]], name: str) -> pd.DataFrame:
    parts = []
    for source in sources:
        path = folder / str(source["member"]) / name
        if not path.is_file():
            raise UserError(f"{path} is not there; run probe_embeddings for {source['member']}")
        part = read_table(path)
        for position, key in enumerate(("source", "dataset", "model", "train_set", "run")):
            part.insert(position, key, source[key])
        parts.append(part)
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


if __name__ == "__main__":
    run(main)
