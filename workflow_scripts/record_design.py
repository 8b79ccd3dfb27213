"""Record what decides on the training set of one name."""

import argparse
from collections.abc import Sequence

from fairgen.errors import run
from fairgen.files import write_text


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--design", required=True, help="the configuration of its draws, as text")
    parser.add_argument("--output", required=True, help="a file of exactly this text")
    args = parser.parse_args(argv)
    write_text(args.design, args.output)


if __name__ == "__main__":
    run(main)
