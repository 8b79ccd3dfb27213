"""Which uncertainty flags high error, and which an unrepresented group?"""

import json
from collections.abc import Sequence

from fairgen.errors import run
from fairgen.files import write_csv
from fairgen.stats.gaps import size_ratios
from fairgen.stats.study import read_all, read_table, study_parser
from fairgen.stats.uncertainty import SCORES, uncertainty_table


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__)
    parser.add_argument("--design", required=True, help="tables/design.csv")
    parser.add_argument("--config", required=True, type=json.loads, help='JSON: {"stats": {...}}')
    parser.add_argument("--output", required=True, help="CSV: one row per training set, score and target")
    args = parser.parse_args(argv)

    rows = read_all(args, ["mse", *SCORES])
    ratios = size_ratios(read_table(args.design))
    write_csv(uncertainty_table(rows, SCORES, ratios, args.config["stats"]["alpha"]), args.output)


if __name__ == "__main__":
    run(main)
