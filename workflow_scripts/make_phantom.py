"""Write a synthetic data set: metadata in Fitzpatrick17k's columns and a zip of phantom skin images."""

import argparse
from collections.abc import Sequence

from evenhand.data.synthetic.phantom import FST_SHARES, generate, write_zip
from evenhand.workflow.errors import UserError, run
from evenhand.workflow.files import write_checksums, write_text
from evenhand.workflow.tables import as_csv, write_csv


def parse_shares(text: str) -> dict[int, float]:
    """`1=0.4,2=0.2,6=0.4` as a mapping from skin type to share."""
    try:
        return {int(fst): float(share) for fst, share in (part.split("=") for part in text.split(","))}
    except ValueError:
        raise UserError(f"--fst-shares must look like 1=0.4,2=0.2,5=0.2,6=0.2; found {text!r}.") from None


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, required=True, help="number of images")
    parser.add_argument("--seed", type=int, required=True, help="seed of the study, at least 0")
    parser.add_argument("--size", type=int, default=64, help="shorter side of the images in pixels (default 64)")
    parser.add_argument(
        "--dark-difficulty",
        type=float,
        default=0.0,
        help="detail on FST 5-6 is 1 + this times as strong as on other skin (default 0: equally hard)",
    )
    parser.add_argument(
        "--fst-shares",
        default=",".join(f"{fst}={share}" for fst, share in FST_SHARES.items()),
        help="share of each Fitzpatrick skin type (default %(default)s)",
    )
    parser.add_argument("--metadata", required=True, help="CSV to write, in the columns of fitzpatrick17k.csv")
    parser.add_argument("--images", required=True, help="zip to write, of <id>.jpg")
    parser.add_argument("--truth", help="CSV to write with what is true of each image (optional)")
    parser.add_argument("--sums", help="file to write: SHA-256 of images and metadata (optional)")
    options = parser.parse_args(argv)

    phantom = generate(
        options.n,
        seed=options.seed,
        size=options.size,
        dark_difficulty=options.dark_difficulty,
        fst_shares=parse_shares(options.fst_shares),
    )
    write_zip(phantom.files, options.images)
    write_text(as_csv(phantom.metadata), options.metadata)  # with the columns of the published table
    if options.truth:
        write_csv(phantom.truth, options.truth)
    write_checksums([options.images, options.metadata], options.sums)
    print(f"{len(phantom.metadata)} synthetic rows, {len(phantom.files)} synthetic images of {options.size} px")


if __name__ == "__main__":
    run(main)
