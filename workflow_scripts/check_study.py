"""Say everything that is wrong with a study as far as its table and configuration tell, before it costs anything."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from evenhand.data.metadata import CONDITION_COLUMNS, assign_group
from evenhand.figures.style import uncovered_characters
from evenhand.models.family import build, parameter_count
from evenhand.probes.applicable import file_mistakes, image_targets
from evenhand.splits.groups import groups_from
from evenhand.splits.preflight import (
    bytes_needed,
    data_mistakes,
    design_mistakes,
    device_mistakes,
    disk_mistakes,
    free_bytes,
    weight_mistakes,
)
from evenhand.workflow.errors import refuse, run
from evenhand.workflow.files import write_text
from evenhand.workflow.tables import read_image_table


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metadata", required=True, help="data/metadata.csv")
    parser.add_argument("--config", required=True, type=json.loads, help="JSON: the whole configuration")
    parser.add_argument("--results", required=True, type=Path, help="results/<study>")
    parser.add_argument("--downloads", required=True, type=Path, help="folder of downloaded files")
    parser.add_argument("--elsewhere", action="store_true", help="the jobs run on other machines than this one")
    parser.add_argument("--output", required=True, help="text file to write when nothing is wrong")
    args = parser.parse_args(argv)

    config, splits, probe = args.config, args.config["splits"], args.config["probe"]
    metadata = read_image_table(args.metadata)
    mistakes = [*design_mistakes(metadata, config["seed"], splits), *weight_mistakes(config)]
    if config["data"]["synthetic"] is None:
        mistakes += data_mistakes(metadata, config["data"])
    if not args.elsewhere:
        mistakes += device_mistakes(config, torch.cuda.is_available())
    parameters = parameter_count(build(config["model"]))
    needed = bytes_needed(config, metadata, parameters, args.downloads)
    mistakes += disk_mistakes(needed, args.results, free_bytes(args.results))
    names = {name for column in (*CONDITION_COLUMNS, "source") for name in metadata[column]}
    bare = sorted(uncovered_characters(names))
    if bare:
        print(
            f"warning: no installed font has {', '.join(map(repr, bare[:10]))}; figures will show {len(bare)} as boxes"
        )
    if config["report"]["probes"]:
        images = metadata.assign(group=assign_group(metadata, groups_from(splits["groups"])))
        for source in probe["sources"]:
            if source["kind"] != "file":
                rows = images if source.get("images") == "unseen" else images[images["group"] != ""]
                found = image_targets(rows, source, probe, config["seed"])
                mistakes += found.mistakes
                for target, role, reason in found.left_out:
                    print(f"{source['name']}: will not be probed: {target} ({role}): {reason}")
        if not probe["lookalike"]:  # whose files are made later
            mistakes += file_mistakes(probe, config["seed"])
    refuse(mistakes, "before anything is downloaded, packed or trained")
    write_text("nothing is wrong with table and configuration\n", args.output)
    print(f"about {sum(needed.values()) / 1e9:.1f} GB will be written")


if __name__ == "__main__":
    run(main)
