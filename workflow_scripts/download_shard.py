"""Download one shard of the photographs and say for every one what became of it."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import pandas as pd

from evenhand.data.download import Job, download_images
from evenhand.data.web import Policy
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", required=True, help="CSV: id, url, checksum")
    parser.add_argument("--shard", required=True, type=int, help="which part of the jobs, from 0")
    parser.add_argument("--shards", required=True, type=int, help="number of parts")
    parser.add_argument("--settings", required=True, type=json.loads, help="JSON: the block data.download")
    parser.add_argument("--folder", required=True, type=Path, help="where the images go, shared by all studies")
    parser.add_argument("--failures", required=True, type=Path, help="file that remembers dead links, shared likewise")
    parser.add_argument("--output", required=True, type=Path, help="CSV: id, url, status, detail")
    args = parser.parse_args(argv)

    table = read_table(args.jobs)
    # By id, not by row: which images are missing must not move the others between shards.
    table = table[table["id"].map(lambda image_id: crc32(image_id.encode()) % args.shards) == args.shard]
    jobs = [Job(*row) for row in table[["id", "url", "checksum"]].itertuples(index=False)]
    settings = args.settings
    policy = Policy(
        read_timeout=settings["timeout"],
        attempts=settings["attempts"],
        max_bytes=settings["max_megabytes"] * 1024 * 1024,
        contact=settings["contact"] or "",
    )
    outcomes = download_images(
        jobs, args.folder, args.failures, policy, connections=settings["connections"], interval=settings["interval"]
    )
    rows = [(outcome.job.id, outcome.job.url, outcome.status, outcome.detail) for outcome in outcomes]
    result = pd.DataFrame(rows, columns=["id", "url", "status", "detail"])
    write_csv(result, args.output)
    for status, count in result["status"].value_counts().items():
        print(f"{status}: {count}")


if __name__ == "__main__":
    run(main)
