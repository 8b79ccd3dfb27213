"""The gap with the mix of conditions and atlases held fixed: by standardisation and by regression."""

import json
from collections.abc import Sequence

from evenhand.stats.bootstrap import draw_images
from evenhand.stats.models import model_gaps
from evenhand.stats.strata import adjusted_gaps
from evenhand.stats.study import read_clusters, stream, stream_runs, study_parser
from evenhand.stats.totals import error_totals
from evenhand.workflow.errors import run
from evenhand.workflow.seeds import generator
from evenhand.workflow.tables import write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__)
    parser.add_argument("--duplicates", help="data/duplicates.csv: clusters are resampled as a whole")
    parser.add_argument("--config", required=True, type=json.loads, help='JSON: {"seed": ..., "stats": {...}}')
    parser.add_argument("--adjusted", required=True, help="CSV: standardised gaps")
    parser.add_argument("--models", required=True, help="CSV: gaps from the mixed model and from clustered OLS")
    args = parser.parse_args(argv)

    stats = args.config["stats"]
    images, cells = error_totals(stream(args, ["mse"], ["label", "atlas"]))
    rng = generator(args.config["seed"], "bootstrap")
    draws = draw_images(images, stats["resamples"], rng, read_clusters(args.duplicates))
    level = 1 - stats["alpha"]
    adjusted = adjusted_gaps(images, cells, draws, stats["min_images"], level, stats["claims"]["vanishing"])
    models = model_gaps(images, cells, stream_runs(args, ["mse"], ["label", "atlas"]), level)
    print(adjusted.to_string(index=False), models.to_string(index=False), sep="\n\n")
    write_csv(adjusted, args.adjusted)
    write_csv(models, args.models)


if __name__ == "__main__":
    run(main)
