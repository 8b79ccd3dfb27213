"""Say what of a run cannot be trained or probed on the images that are there, before its models are trained."""

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from evenhand.data.metadata import assign_group
from evenhand.models.architecture import Architecture
from evenhand.probes.applicable import image_targets
from evenhand.splits.design import candidates_from, design_from, feasible_train_size, usable
from evenhand.splits.manifests import read_cluster_of
from evenhand.training.recipe import Recipe, require_variance
from evenhand.workflow.errors import UserError, refuse, run
from evenhand.workflow.files import read_rows, write_text
from evenhand.workflow.tables import read_image_table, read_table


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, help="data/images.csv: the images that are there")
    parser.add_argument("--test", required=True, help="splits/run<r>/test.csv")
    parser.add_argument("--clusters", required=True, help="data/isolated.csv: images that stay on one side")
    parser.add_argument("--config", required=True, type=json.loads, help="JSON: the whole configuration")
    parser.add_argument("--output", required=True, help="text file to write when nothing is wrong")
    args = parser.parse_args(argv)

    config, splits, probe = args.config, args.config["splits"], args.config["probe"]
    design = design_from(config["seed"], splits)
    images, tested = read_image_table(args.images), read_table(args.test)["id"]
    images["group"] = assign_group(images, design.groups)
    cluster_of = read_cluster_of(args.clusters)
    images["cluster"] = images["id"].map(cluster_of)
    mistakes: list[str] = []
    candidates = candidates_from(read_rows(args.images), design.groups, read_rows(args.clusters))
    size = feasible_train_size(design, usable(candidates, design.test_size))
    recipe = Recipe.from_config(config["train"], config["loss"])
    try:
        require_variance(Architecture.from_config(config["model"]), recipe, config["data"]["image_size"], size)
    except UserError as error:
        mistakes.append(str(error))
    for source in probe["sources"] if config["report"]["probes"] else []:
        if source["kind"] != "file":
            found = image_targets(_rows(source, images, tested), source, probe, config["seed"])
            mistakes += [mistake for mistake in found.mistakes if mistake not in mistakes]
            for target, role, reason in found.left_out:
                print(f"{source['name']}: will not be probed: {target} ({role}): {reason}")
    refuse(mistakes, "before the models of this run are trained")
    write_text("the images of this run can be trained on and probed\n", args.output)


def _rows(source: Mapping[str, Any], images: pd.DataFrame, tested: pd.Series) -> pd.DataFrame:
    """The images of a source in this run; of unseen images all, since the models' own training images are few."""
    if source["kind"] == "vae" and source.get("images") == "unseen":
        return images
    return images[images["id"].isin(tested) if source["kind"] == "vae" else images["group"] != ""]


if __name__ == "__main__":
    run(main)
