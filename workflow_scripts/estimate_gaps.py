"""The gap between the test groups per training set and metric, with its tests and its bootstrap interval."""

from collections.abc import Sequence

from evenhand.stats.bootstrap import add_bootstrap, draw_images
from evenhand.stats.gaps import gap_table, run_table
from evenhand.stats.rows import distinct_images
from evenhand.stats.study import read_clusters, stream, study_parser
from evenhand.stats.summary import GAP_METRICS
from evenhand.workflow.arguments import parse_tables
from evenhand.workflow.errors import run
from evenhand.workflow.seeds import generator
from evenhand.workflow.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__, "seed, stats")
    args = parse_tables(parser, argv, reads=["runs", "design"], writes=["gaps"], optional=["duplicates"])

    stats = args.config["stats"]
    table = run_table(read_table(args.read["runs"]), read_table(args.read["design"]), GAP_METRICS)
    gaps = gap_table(table, GAP_METRICS, stats["family"], stats["alpha"], stats["margins"])
    images = distinct_images(stream(args, []))
    rng = generator(args.config["seed"], "bootstrap")
    draws = draw_images(images, stats["resamples"], rng, read_clusters(args.read.get("duplicates")))
    gaps = add_bootstrap(gaps, stream(args, GAP_METRICS), draws, 1 - stats["alpha"])
    print(gaps.to_string(index=False))
    write_csv(gaps, args.write["gaps"])


if __name__ == "__main__":
    run(main)
