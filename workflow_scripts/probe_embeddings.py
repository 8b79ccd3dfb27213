"""Probe one embedding: what can be decoded from it, and what is left after features are removed."""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from fairgen.devices import choose_precision, leased_device, make_deterministic
from fairgen.errors import run
from fairgen.files import write_csv
from fairgen.probes.protocol import probe_attribute
from fairgen.probes.settings import protocol_settings, target_specs
from fairgen.probes.sources import read_source
from fairgen.probes.targets import count_classes, read_target


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="name of the source, for messages")
    parser.add_argument("--embeddings", required=True, type=Path, help=".npy, .npz or .parquet")
    parser.add_argument("--metadata", required=True, type=Path, help="CSV or Parquet, one row per image")
    parser.add_argument("--clusters", type=Path, help="CSV of id and cluster: near-duplicates stay in one fold")
    parser.add_argument(
        "--config", required=True, type=json.loads, help='JSON: {"seed": ..., "probe": {...}, "source": {...}}'
    )
    parser.add_argument("--threads", type=int, default=1, help="processor threads")
    parser.add_argument("--gpu-slots", type=int, default=1, help="jobs per GPU")
    parser.add_argument("--folds", required=True, help="CSV to write: one row per network and fold")
    parser.add_argument("--counts", required=True, help="CSV to write: rows per class of each target")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    make_deterministic()

    probe, entry = args.config["probe"], args.config["source"]
    source = read_source(
        args.name, args.embeddings, args.metadata, entry["id"], entry["group"], entry.get("array"), args.clusters
    )
    attributes = [read_target(source.table, spec, args.name) for spec in target_specs(entry["attributes"])]
    diseases = [read_target(source.table, spec, args.name) for spec in target_specs(entry["diseases"])]
    counts = [
        {"target": target.name, "kind": target.kind, "class": name, "n": n}
        for target in [*attributes, *diseases]
        for name, n in count_classes(target)
    ]
    write_csv(pd.DataFrame(counts), args.counts)
    with leased_device(probe["device"], args.gpu_slots) as device:
        precision = choose_precision(probe["mlp"]["precision"], device)
        settings = protocol_settings(probe, args.config["seed"], len(source.matrix), precision)
        parts = []
        for attribute in attributes:
            start = time.monotonic()
            parts.append(probe_attribute(source.matrix, source.groups, attribute, diseases, settings, device))
            print(
                f"{args.name}: {attribute.name}, {len(parts[-1])} fits in {time.monotonic() - start:.1f} s on {device}"
            )
    write_csv(pd.concat(parts, ignore_index=True), args.folds)


if __name__ == "__main__":
    run(main)
