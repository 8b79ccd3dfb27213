"""Record what a study was made from: settings, sums of its files, code, versions and machine."""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from evenhand.splits.groups import FROZEN
from evenhand.workflow.errors import run
from evenhand.workflow.files import write_json
from evenhand.workflow.planning import run_folders
from evenhand.workflow.provenance import describe_code, hash_files, machine, run_records, versions


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", required=True, type=Path, help="results/<study>")
    parser.add_argument("--files", required=True, nargs="+", type=Path, help="files of the study in that folder")
    parser.add_argument("--settings", required=True, type=Path, help="settings/study.json: the whole configuration")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", required=True, help="JSON")
    args = parser.parse_args(argv)

    config = json.loads(args.settings.read_text("utf-8"))
    splits = config["splits"]
    train_sets = [train_set["name"] for train_set in splits["train_sets"]]
    models = [f"runs/{name}/{of}" for name in train_sets for of in run_folders(splits["runs"], splits["starts"])]
    names = [path.relative_to(args.folder).as_posix() for path in args.files]
    for number in range(splits["runs"]):
        drawn = ["test", *(f"train_{name}" for name in train_sets)]
        names += [f"splits/run{number}/{name}.{kind}" for name in drawn for kind in ("csv", "sha256")]
    of_model = ["model.safetensors", "evaluation.parquet", *([] if train_sets == [FROZEN] else ["history.csv"])]
    names += [f"{model}/{name}" for model in models for name in of_model]
    # How long a training took is in its record, so the sum of that differs from machine to machine.
    records = [f"{model}/run.json" for model in models]
    trained = machine(run_records(args.folder / "runs", splits))
    record = {
        "study": config["study"],
        "config": config,
        "files": hash_files(args.folder, names, args.workers),
        "code": describe_code(Path(__file__).parent),
        "versions": versions(),
        "machine": trained | {"run_records": hash_files(args.folder, records, args.workers)},
    }
    write_json(record, args.output)
    print(f"{len(record['files'])} files of {config['study']}, code: {record['code']['revision']}")


if __name__ == "__main__":
    run(main)
