"""The manifests of the draws: what a run tests on, and what its training sets hold. Each has its sum beside it."""

from pathlib import Path

from evenhand.splits.design import Drawn
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import check_seal, read_rows, row_writer, seal

COLUMNS = ["run", "role", "group", "md5hash"]


def role_of(group: str, train_set: str | None) -> str:
    """What a drawn image of a group is for: a training set, or (None) the test set of its group."""
    return f"test_{group}" if train_set is None else f"train_{train_set}"


def write_draw(drawn: Drawn, run: int, train_set: str | None, path: str | Path) -> None:
    """Write one row per drawn image, group by group: a training set, or (None) the test sets."""
    with row_writer(path, COLUMNS) as write:
        for group, names in drawn.items():
            for name in names:
                write({"run": run, "role": role_of(group, train_set), "group": group, "md5hash": name})
    seal([path], Path(path).with_suffix(".sha256"))


def read_draw(path: str | Path, run: int, train_set: str | None) -> Drawn:
    """The images of a manifest, by the groups that it names.

    Raises:
        UserError: it is not as it was drawn, or it is the manifest of another run or role.
    """
    check_seal(path)
    drawn: Drawn = {}
    for row in read_rows(path):
        expected = role_of(row["group"], train_set)
        if (row["run"], row["role"]) != (str(run), expected):
            raise UserError(
                f"{path}: expected images of run {run} with the role {expected}; found run {row['run']} with the role "
                f"{row['role']}, group {row['group']}. It is the manifest of something else."
            )
        drawn.setdefault(row["group"], []).append(row["md5hash"])
    if not drawn:
        raise UserError(f"{path}: expected the images of run {run}; found none.")
    return drawn


def hashes_of(drawn: Drawn) -> list[str]:
    """All images of a draw in the order of its manifest."""
    return [name for names in drawn.values() for name in names]
