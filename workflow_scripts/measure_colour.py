"""Colour and tone: the shift of reconstructions, and the error against the tone of the input."""

from collections.abc import Iterator, Sequence

import pandas as pd

from evenhand.stats.crossed import CrossedSums
from evenhand.stats.gaps import size_ratios
from evenhand.stats.rows import by_model, group_names, parse_tables, read_clusters, stream_runs, study_parser
from evenhand.stats.summary import sort_by_design
from evenhand.stats.tone import (
    COLOURS,
    QUANTITIES,
    colour_run_means,
    colour_table,
    tone_curves,
    tone_slopes,
    tone_totals,
)
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__, "stats, groups")
    writes = ["colour_runs", "colour_covariances", "colour", "tone_curves", "tone_slopes"]
    args = parse_tables(parser, argv, reads=["design"], writes=writes, optional=["together"])

    groups, alpha = group_names(args), args.config["stats"]["alpha"]
    ratios = size_ratios(read_table(args.read["design"]))
    colours: list[pd.DataFrame] = []
    sums = CrossedSums(groups, QUANTITIES, read_clusters(args.read.get("together")))

    def models() -> Iterator[pd.DataFrame]:
        """The evaluations, read once: `tone_totals` takes them, `colours` and `sums` keep the rest."""
        for every in stream_runs(args, ["mse"], partial=["ita_in", "ita_out", *COLOURS]):
            rows = every.assign(ita_shift=every["ita_out"] - every["ita_in"])
            sums.add(rows)
            for model in by_model(rows):
                colours.append(colour_run_means(model, groups))
                yield model

    images, slopes = tone_totals(models(), groups)
    run_means = sort_by_design(pd.concat(colours), groups, ["run"])
    covariances = sums.table()
    write_csv(run_means, args.write["colour_runs"])
    write_csv(covariances, args.write["colour_covariances"])
    write_csv(colour_table(run_means, covariances, groups, alpha), args.write["colour"])
    write_csv(tone_curves(images, 1 - alpha), args.write["tone_curves"])
    write_csv(tone_slopes(images, slopes, groups, ratios, alpha), args.write["tone_slopes"])


if __name__ == "__main__":
    run(main)
