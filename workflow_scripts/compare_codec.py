"""Trained models beside codecs of equal error, which have learned nothing."""

from collections.abc import Sequence

from evenhand.stats.codec import OF_IMAGE, codec_tables
from evenhand.stats.rows import group_names, parse_tables, read_clusters, stream_runs, study_pairs, study_parser
from evenhand.workflow.errors import run
from evenhand.workflow.tables import write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__, "stats, groups")
    args = parse_tables(parser, argv, reads=[], writes=["codec_runs", "codec"], optional=["together"])

    runs = stream_runs(args, ["mse"], partial=OF_IMAGE)
    clusters, alpha = read_clusters(args.read.get("together")), args.config["stats"]["alpha"]
    of_runs, codec = codec_tables(runs, group_names(args), study_pairs(args), clusters, alpha)
    print(codec.to_string(index=False))
    write_csv(of_runs, args.write["codec_runs"])
    write_csv(codec, args.write["codec"])


if __name__ == "__main__":
    run(main)
