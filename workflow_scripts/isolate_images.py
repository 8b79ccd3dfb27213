"""Say which images belong together, so that training and test, or two folds, do not share them."""

import argparse
from collections import Counter
from collections.abc import Sequence

from evenhand.splits.design import cluster_images
from evenhand.workflow.errors import UserError, run
from evenhand.workflow.files import read_rows, row_writer, write_checksums


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, help="data/images.csv: the images that are there")
    parser.add_argument("--duplicates", help="data/duplicates.csv; without it near-duplicates may be apart")
    parser.add_argument("--patients", choices=["apart", "together", "auto"], required=True, help="auto: where named")
    parser.add_argument("--output", required=True, help="CSV: id, cluster")
    parser.add_argument("--sums", help="its SHA-256")
    args = parser.parse_args(argv)

    patients = {row["patient"] for row in read_rows(args.images)} - {""}
    if args.patients == "together" and not patients:
        raise UserError(
            "splits.leakage: patients are to be kept on one side; the table names none (data.columns.patient)."
        )
    together = args.patients != "apart" and bool(patients)
    sizes: Counter[str] = Counter()
    duplicates = read_rows(args.duplicates) if args.duplicates else None
    with row_writer(args.output, ["id", "cluster"]) as write:
        for name, cluster in cluster_images(read_rows(args.images), duplicates, together):
            write({"id": name, "cluster": cluster})
            sizes[cluster] += 1
    kinds = [f"images of one of {len(patients):,} patients"] * together + ["near-duplicates"] * bool(args.duplicates)
    write_checksums([args.output], args.sums)
    several = [size for size in sizes.values() if size > 1]
    print(f"kept together: {' and '.join(kinds) or 'nothing'}")
    print(f"{sum(sizes.values()):,} images, {sum(several):,} of them in {len(several):,} clusters of several")


if __name__ == "__main__":
    run(main)
