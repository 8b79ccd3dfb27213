"""The gap with the mix of conditions and atlases held fixed: by standardisation and by regression."""

from collections.abc import Sequence

from evenhand.stats.bootstrap import draw_images
from evenhand.stats.models import model_gaps
from evenhand.stats.strata import adjusted_gaps
from evenhand.stats.study import read_clusters, stream, stream_runs, study_parser
from evenhand.stats.totals import error_totals
from evenhand.workflow.arguments import parse_tables
from evenhand.workflow.errors import run
from evenhand.workflow.seeds import generator
from evenhand.workflow.tables import write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__, "seed, stats")
    args = parse_tables(parser, argv, reads=[], writes=["adjusted", "models"], optional=["duplicates"])

    stats = args.config["stats"]
    images, cells = error_totals(stream(args, ["mse"], ["label", "atlas"]))
    rng = generator(args.config["seed"], "bootstrap")
    draws = draw_images(images, stats["resamples"], rng, read_clusters(args.read.get("duplicates")))
    level = 1 - stats["alpha"]
    adjusted = adjusted_gaps(images, cells, draws, stats["min_images"], level, stats["claims"]["vanishing"])
    models = model_gaps(images, cells, stream_runs(args, ["mse"], ["label", "atlas"]), level)
    print(adjusted.to_string(index=False), models.to_string(index=False), sep="\n\n")
    write_csv(adjusted, args.write["adjusted"])
    write_csv(models, args.write["models"])


if __name__ == "__main__":
    run(main)
