"""Compare a study with the record of what it was made from, and name everything that differs."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from evenhand.workflow.errors import UserError, run
from evenhand.workflow.provenance import describe_code, differences, machine, read_provenance


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="results/<study>")
    args = parser.parse_args(argv)

    scripts = Path(__file__).parent
    path = args.folder / "provenance.json"
    record = read_provenance(path)
    found = differences(args.folder, record, scripts, os.cpu_count() or 1)
    # Other hardware and a later revision with the same scripts are worth knowing, and no difference.
    for what, then, now in [
        ("revision", record["code"]["revision"], describe_code(scripts)["revision"]),
        ("processor", record["machine"]["processor"], machine([])["processor"]),
    ]:
        if then != now:
            print(f"note: {what} was {then}, is {now}")
    if found:
        listed = "\n".join(f"  {difference}" for difference in found)
        raise UserError(
            f"{args.folder} differs from its record {path} in {len(found)} places:\n{listed}\n"
            "Files: restore them, or delete them and run the study again. Scripts and versions: check out the recorded "
            "revision and install its lock file, or run the study again with what is here."
        )
    print(
        f"{args.folder}: {len(record['files'])} files, the scripts and {len(record['versions'])} versions as recorded"
    )


if __name__ == "__main__":
    run(main)
