"""Colour and tone: the shift of reconstructions, and the error against the tone of the input."""

from collections.abc import Iterator, Sequence

import pandas as pd

from evenhand.stats.gaps import size_ratios
from evenhand.stats.rows import group_names, parse_tables, stream, study_parser
from evenhand.stats.summary import sort_by_design
from evenhand.stats.tone import COLOURS, colour_run_means, colour_table, tone_curves, tone_slopes, tone_totals
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__, "stats, groups")
    args = parse_tables(parser, argv, reads=["design"], writes=["colour_runs", "colour", "tone_curves", "tone_slopes"])

    groups, alpha = group_names(args), args.config["stats"]["alpha"]
    ratios = size_ratios(read_table(args.read["design"]))
    colours: list[pd.DataFrame] = []

    def models() -> Iterator[pd.DataFrame]:
        """The evaluations, read once for both: `tone_totals` takes them, `colours` keeps their means."""
        for model in stream(args, ["mse"], partial=["ita_in", "ita_out", *COLOURS]):
            colours.append(colour_run_means(model, groups))
            yield model

    images, slopes = tone_totals(models(), groups)
    run_means = sort_by_design(pd.concat(colours), groups, ["run"])
    write_csv(run_means, args.write["colour_runs"])
    write_csv(colour_table(run_means, groups, ratios, alpha), args.write["colour"])
    write_csv(tone_curves(images, 1 - alpha), args.write["tone_curves"])
    write_csv(tone_slopes(images, slopes, groups, ratios, alpha), args.write["tone_slopes"])


if __name__ == "__main__":
    run(main)
