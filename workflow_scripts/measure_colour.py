"""Colour and tone: the shift of reconstructions, and the error against the tone of the input."""

import json
from collections.abc import Iterator, Sequence

import pandas as pd

from evenhand.stats.colour import colour_run_means, colour_table
from evenhand.stats.gaps import size_ratios
from evenhand.stats.study import stream, study_parser
from evenhand.stats.summary import sort_by_design
from evenhand.stats.tone import tone_curves, tone_slopes, tone_totals
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__)
    parser.add_argument("--design", required=True, help="tables/design.csv")
    parser.add_argument("--config", required=True, type=json.loads, help='JSON: {"stats": {...}}')
    parser.add_argument("--colour-runs", required=True, help="CSV: mean colour shift per model and test group")
    parser.add_argument("--colour", required=True, help="CSV: mean colour shift over runs")
    parser.add_argument("--tone-curves", required=True, help="CSV: MSE against the ITA of the input")
    parser.add_argument("--tone-slopes", required=True, help="CSV: change of MSE per ten degrees of ITA")
    args = parser.parse_args(argv)

    alpha = args.config["stats"]["alpha"]
    ratios = size_ratios(read_table(args.design))
    columns = ["ita_in", "ita_out", "dl", "da", "db", "ciede2000"]
    colours: list[pd.DataFrame] = []

    def models() -> Iterator[pd.DataFrame]:
        """The evaluations, read once for both: `tone_totals` takes them, `colours` keeps their means."""
        for model in stream(args, ["mse"], partial=columns):
            colours.append(colour_run_means(model))
            yield model

    images, slopes = tone_totals(models())
    run_means = sort_by_design(pd.concat(colours), ["run"])
    write_csv(run_means, args.colour_runs)
    write_csv(colour_table(run_means, ratios, alpha), args.colour)
    write_csv(tone_curves(images, 1 - alpha), args.tone_curves)
    write_csv(tone_slopes(images, slopes, ratios, alpha), args.tone_slopes)


if __name__ == "__main__":
    run(main)
