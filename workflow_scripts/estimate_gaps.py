"""The gap between the test groups per training set and metric, with its tests and its bootstrap interval."""

import json
from collections.abc import Sequence

from evenhand.stats.bootstrap import add_bootstrap, draw_images
from evenhand.stats.gaps import gap_table, run_table
from evenhand.stats.rows import distinct_images
from evenhand.stats.study import read_clusters, stream, study_parser
from evenhand.stats.summary import GAP_METRICS
from evenhand.workflow.errors import run
from evenhand.workflow.seeds import generator
from evenhand.workflow.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__)
    parser.add_argument("--run-means", required=True, help="tables/runs.csv")
    parser.add_argument("--design", required=True, help="tables/design.csv")
    parser.add_argument("--duplicates", help="data/duplicates.csv: clusters are resampled as a whole")
    parser.add_argument("--config", required=True, type=json.loads, help='JSON: {"seed": ..., "stats": {...}}')
    parser.add_argument("--output", required=True, help="CSV: one row per training set and metric")
    args = parser.parse_args(argv)

    stats = args.config["stats"]
    table = run_table(read_table(args.run_means), read_table(args.design), GAP_METRICS)
    gaps = gap_table(table, GAP_METRICS, stats["family"], stats["alpha"], stats["margins"])
    images = distinct_images(stream(args, []))
    rng = generator(args.config["seed"], "bootstrap")
    draws = draw_images(images, stats["resamples"], rng, read_clusters(args.duplicates))
    gaps = add_bootstrap(gaps, stream(args, GAP_METRICS), draws, 1 - stats["alpha"])
    print(gaps.to_string(index=False))
    write_csv(gaps, args.output)


if __name__ == "__main__":
    run(main)
