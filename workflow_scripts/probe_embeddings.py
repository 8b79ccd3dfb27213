"""Probe one embedding: what can be decoded from it, and what is left after features are removed."""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from fairgen.devices import choose_precision, leased_device
from fairgen.errors import UserError, run
from fairgen.files import write_csv
from fairgen.probes.applicable import applicable_targets
from fairgen.probes.left_out import LEFT_OUT_COLUMNS
from fairgen.probes.protocol import COLUMNS, probe_attribute
from fairgen.probes.settings import protocol_settings
from fairgen.probes.sources import read_source
from fairgen.probes.targets import count_classes


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
    parser.add_argument("--left-out", required=True, help="CSV to write: optional targets that are not probed, and why")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)

    probe, entry = args.config["probe"], args.config["source"]
    source = read_source(
        args.name, args.embeddings, args.metadata, entry["id"], entry["group"], entry.get("array"), args.clusters
    )
    planned = protocol_settings(probe, args.config["seed"], len(source.matrix), "fp32")
    found = applicable_targets(source.table, source.groups, entry, planned, args.name)
    if found.mistakes:
        raise UserError("\n  ".join(["some targets cannot be probed:", *found.mistakes]))
    for target, role, reason in found.left_out:
        print(f"{args.name}: not probed: {target} ({role}): {reason}")
    write_csv(pd.DataFrame(found.left_out, columns=LEFT_OUT_COLUMNS), args.left_out)
    attributes, diseases = found.attributes, found.diseases
    counts = [
        {"target": target.name, "kind": target.kind, "class": name, "n": n}
        for target in [*attributes, *diseases]
        for name, n in count_classes(target)
    ]
    write_csv(pd.DataFrame(counts, columns=["target", "kind", "class", "n"]), args.counts)
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
    folds = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
    write_csv(folds, args.folds)


if __name__ == "__main__":
    run(main)
