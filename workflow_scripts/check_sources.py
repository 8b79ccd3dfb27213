"""Say everything that is wrong with the embeddings given as files, before the first of them is probed."""

import argparse
import json
from collections.abc import Sequence

from evenhand.probes.applicable import file_mistakes
from evenhand.workflow.errors import refuse, run
from evenhand.workflow.files import write_text


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, type=json.loads, help='JSON: {"seed": ..., "probe": {...}}')
    parser.add_argument("--output", required=True, help="text file to write when nothing is wrong")
    args = parser.parse_args(argv)

    refuse([*file_mistakes(args.config["probe"], args.config["seed"])], "before anything is probed")
    write_text("the embeddings fit their tables, and the targets can be probed\n", args.output)


if __name__ == "__main__":
    run(main)
