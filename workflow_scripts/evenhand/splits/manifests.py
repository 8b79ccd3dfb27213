"""The manifests of the draws: what a run tests on, and what its training sets hold. Each has its sum beside it."""

from collections.abc import Mapping
from pathlib import Path

from evenhand.splits.design import GROUPS, Drawn
from evenhand.workflow.checksums import check_seal, seal
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import read_rows, row_writer

COLUMNS = ["run", "role", "group", "md5hash"]
TEST_ROLES = {group: f"test_{group}" for group in GROUPS}


def train_roles(train_set: str) -> dict[str, str]:
    """What the images of each group are for in the manifest of a training set."""
    return dict.fromkeys(GROUPS, f"train_{train_set}")


def write_draw(drawn: Drawn, run: int, roles: Mapping[str, str], path: str | Path) -> None:
    """Write one row per drawn image, light ones first; the role of each group is from `TEST_ROLES` or `train_roles`."""
    with row_writer(path, COLUMNS) as write:
        for group in GROUPS:
            for name in drawn[group]:
                write({"run": run, "role": roles[group], "group": group, "md5hash": name})
    seal([path], Path(path).with_suffix(".sha256"))


def read_draw(path: str | Path, run: int, roles: Mapping[str, str]) -> Drawn:
    """The images of a manifest.

    Raises:
        UserError: it is not as it was drawn, or it is the manifest of another run or role.
    """
    check_seal(path)
    drawn: Drawn = {group: [] for group in GROUPS}
    for row in read_rows(path):
        found = (row["run"], row["role"])
        if row["group"] not in GROUPS or found != (str(run), roles[row["group"]]):
            expected = " or ".join(dict.fromkeys(roles.values()))
            raise UserError(
                f"{path}: expected images of run {run} with the role {expected}; found run {found[0]} with the role "
                f"{found[1]}, group {row['group']}. It is the manifest of something else."
            )
        drawn[row["group"]].append(row["md5hash"])
    if not any(drawn.values()):
        raise UserError(f"{path}: expected the images of run {run}; found none.")
    return drawn


def hashes_of(drawn: Drawn) -> list[str]:
    """All images of a draw in the order of its manifest."""
    return [name for group in GROUPS for name in drawn[group]]
