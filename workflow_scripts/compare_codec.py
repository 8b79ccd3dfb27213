"""Trained models beside codecs of equal error, which have learned nothing."""

from collections.abc import Sequence

import pandas as pd

from evenhand.stats.codec import OF_IMAGE, codec_adjusted, codec_tables
from evenhand.stats.rows import (
    group_names,
    parse_tables,
    read_clusters,
    stream,
    stream_runs,
    study_pairs,
    study_parser,
)
from evenhand.workflow.errors import run
from evenhand.workflow.tables import write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__, "stats, groups")
    args = parse_tables(parser, argv, reads=[], writes=["codec_runs", "codec", "codec_adjusted"], optional=["together"])

    runs = stream_runs(args, ["mse"], partial=OF_IMAGE)
    clusters, stats = read_clusters(args.read.get("together")), args.config["stats"]
    of_runs, codec = codec_tables(runs, group_names(args), study_pairs(args), clusters, stats["alpha"])
    # The evaluations are read for each pair anew: memory holds the images of one.
    of_image = ["mse"], ["condition", "source"], ["codec_mse"]
    of_pairs = (
        codec_adjusted(stream(args, *of_image), stream_runs(args, *of_image), pair, clusters, args.runs, stats)
        for pair in study_pairs(args)
    )
    adjusted = pd.concat(of_pairs)
    print(codec.to_string(index=False), adjusted.to_string(index=False), sep="\n\n")
    write_csv(of_runs, args.write["codec_runs"])
    write_csv(codec, args.write["codec"])
    write_csv(adjusted, args.write["codec_adjusted"])


if __name__ == "__main__":
    run(main)
