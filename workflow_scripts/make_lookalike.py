"""Write synthetic stand-ins for chest X-ray embeddings, in the format of the real ones."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evenhand.data.synthetic.embeddings import make_lookalike
from evenhand.workflow.errors import UserError, run
from evenhand.workflow.files import atomic_path, write_checksums, write_text
from evenhand.workflow.seeds import generator
from evenhand.workflow.tables import as_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True, help="name of the data set; another name gives other patients")
    parser.add_argument("--patients", required=True, type=int)
    parser.add_argument("--models", required=True, nargs="+", metavar="MODEL=FEATURES")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--metadata", required=True, type=Path, help="CSV to write")
    parser.add_argument("--embeddings", required=True, nargs="+", type=Path, help="NPZ files to write, as the models")
    parser.add_argument("--sums", help="file to write: SHA-256 of them all")
    args = parser.parse_args(argv)
    pairs = [entry.partition("=") for entry in args.models]
    if len(pairs) != len(args.embeddings) or not all(number.isdigit() and int(number) for _, _, number in pairs):
        raise UserError(f"--models needs MODEL=FEATURES for each of the files, found {args.models}")
    made = make_lookalike(
        args.patients,
        {model: int(features) for model, _, features in pairs},
        generator(args.seed, "lookalike", args.dataset),
    )
    write_text(as_csv(made.metadata), args.metadata)  # with the columns of other people's tables
    for matrix, path in zip(made.embeddings.values(), args.embeddings, strict=True):
        with atomic_path(path) as temporary:
            np.savez(temporary, image_id=made.metadata.image_id.to_numpy(dtype="S"), embedding=matrix)
    write_checksums([args.metadata, *args.embeddings], args.sums)


if __name__ == "__main__":
    run(main)
