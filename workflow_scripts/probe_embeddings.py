"""Probe one embedding: what can be decoded from it, and what is left after features are removed."""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from evenhand.probes.applicable import applicable_targets, needed_columns, protocol_settings, source_spec
from evenhand.probes.batched_mlp import batch_capacity
from evenhand.probes.left_out import NOT_PROBED_COLUMNS, count_rows
from evenhand.probes.protocol import COLUMNS, probe_attribute
from evenhand.probes.settings import ProtocolSettings
from evenhand.probes.sources import read_source
from evenhand.training.devices import add_gpu_options, choose_precision, leased_device, make_deterministic
from evenhand.workflow.errors import UserError, run
from evenhand.workflow.tables import write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="name of the source, for messages")
    parser.add_argument("--embeddings", required=True, type=Path, help=".npy, .npz or .parquet")
    parser.add_argument(
        "--metadata",
        required=True,
        nargs="+",
        type=Path,
        help="CSV, Parquet or .xlsx: one row per image, or an adapter's",
    )
    parser.add_argument("--clusters", type=Path, help="data/together.csv: images of a cluster stay in one fold")
    parser.add_argument("--index", type=Path, help="data/images.csv: further columns of the images")
    parser.add_argument(
        "--config", required=True, type=json.loads, help='JSON: {"seed": ..., "probe": {...}, "source": {...}}'
    )
    parser.add_argument("--threads", type=int, default=1, help="processor threads")
    add_gpu_options(parser)
    parser.add_argument("--folds", required=True, help="CSV to write: one row per network and fold")
    parser.add_argument("--counts", required=True, help="CSV to write: rows per class and left out")
    parser.add_argument("--left-out", required=True, help="CSV to write: optional targets that are not probed, and why")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    make_deterministic()

    probe, entry = args.config["probe"], args.config["source"]
    source = read_source(
        args.name,
        args.embeddings,
        args.metadata,
        source_spec(entry),
        needed_columns(entry),
        clusters=args.clusters,
        index=args.index,
    )
    planned = protocol_settings(probe, args.config["seed"], len(source.matrix), "fp32")
    found = applicable_targets(source.table, source.groups, entry, planned, args.name)
    if found.mistakes:
        raise UserError("\n  ".join(["some targets cannot be probed:", *found.mistakes]))
    for target, role, reason in found.left_out:
        print(f"{args.name}: not probed: {target} ({role}): {reason}")
    write_csv(pd.DataFrame(found.left_out, columns=NOT_PROBED_COLUMNS), args.left_out)
    attributes, diseases = found.attributes, found.diseases
    counts = count_rows(source, [*attributes, *diseases])
    print("\n".join(source.read))
    print(counts.to_string(index=False))
    write_csv(counts, args.counts)
    with leased_device(probe["device"], args.gpu_slots, "probing", args.gpus) as device:
        precision = choose_precision(probe["mlp"]["precision"], device)
        settings = protocol_settings(probe, args.config["seed"], len(source.matrix), precision)
        print_choices(probe, settings, source.matrix.shape, device)
        parts = []
        for attribute in attributes:
            start = time.monotonic()
            parts.append(probe_attribute(source.matrix, source.groups, attribute, diseases, settings, device))
            print(
                f"{args.name}: {attribute.name}, {len(parts[-1])} fits in {parts[-1]['folds'].iloc[0]} folds, "
                f"{time.monotonic() - start:.1f} s on {device}"
            )
    folds = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
    write_csv(folds, args.folds)


def print_choices(
    probe: Mapping[str, Any], settings: ProtocolSettings, shape: tuple[int, int], device: torch.device
) -> None:
    """Say what follows from the embeddings (rows, features) and the device where the configuration leaves it open."""
    mlp, (rows, features) = probe["mlp"], shape
    key, order = ("hidden_small", "fewer than") if rows < mlp["small_below"] else ("hidden", "at least")
    print(f"hidden layers: {list(settings.mlp.hidden)} ({key}), since {rows} rows are {order} {mlp['small_below']}")
    if not mlp["networks_per_batch"]:
        size = batch_capacity(features, 1, rows, settings.mlp, device)
        print(f"networks_per_batch: 0 is {size} at a time for all {features} features of {rows} rows on {device.type}")


if __name__ == "__main__":
    run(main)
