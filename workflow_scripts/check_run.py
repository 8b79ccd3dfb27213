"""Say which targets of the probes cannot be probed on the images of a run, before its models are trained."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from fairgen.errors import run
from fairgen.files import write_text
from fairgen.manifests import read_image_table
from fairgen.metadata import assign_group
from fairgen.preflight import refuse
from fairgen.probes.preflight import image_targets


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, help="data/images.csv: the images that are there")
    parser.add_argument("--manifest", required=True, help="splits/run<r>.csv")
    parser.add_argument("--duplicates", help="data/duplicates.csv, with splits.leakage: isolate")
    parser.add_argument("--config", required=True, type=json.loads, help="JSON: the whole configuration")
    parser.add_argument("--output", required=True, help="text file to write when nothing is wrong")
    args = parser.parse_args(argv)

    config, splits, probe = args.config, args.config["splits"], args.config["probe"]
    images, manifest = read_image_table(args.images), read_image_table(args.manifest)
    images["group"] = assign_group(images[splits["label"]], splits["light"], splits["dark"])
    if args.duplicates:
        images = images.merge(read_image_table(args.duplicates)[["md5hash", "cluster"]], on="md5hash", how="left")
    mistakes: list[str] = []
    for source in probe["sources"] if config["report"]["probes"] else []:
        for rows in _tables(source, images, manifest):
            found = image_targets(rows, source, probe, config["seed"])
            mistakes += [mistake for mistake in found.mistakes if mistake not in mistakes]
            for target, role, reason in found.left_out:
                print(f"{source['name']}: will not be probed: {target} ({role}): {reason}")
    refuse(mistakes, "before the models of this run are trained")
    write_text("the targets of the probes are on the images of this run\n", args.output)


def _tables(source: Mapping[str, Any], images: pd.DataFrame, manifest: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows that a source has in this run: one table, or one for each training set."""
    if source["kind"] == "openclip":
        yield images[images["group"] != ""]
    elif source["kind"] == "vae" and source.get("images") == "unseen":
        for role in sorted(set(manifest["role"])):
            if role.startswith("train_"):
                yield images[~images["md5hash"].isin(manifest.loc[manifest["role"] == role, "md5hash"])]
    elif source["kind"] == "vae":
        tested = manifest.loc[manifest["role"].str.startswith("test_"), "md5hash"]
        yield images[images["md5hash"].isin(tested)]


if __name__ == "__main__":
    run(main)
