"""Embeddings with their metadata, from files: whatever made them, the probes see one checked table."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evenhand.data.cells import NO_NAME
from evenhand.data.foreign_tables import read_foreign
from evenhand.data.tables import read_images
from evenhand.probes.embeddings import Embeddings, read_embeddings
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import read_rows
from evenhand.workflow.tables import read_table

# How a spreadsheet shows a long number, having lost its last digits.
SHORTENED = re.compile(r"\d([.,]\d+)?E\+?\d+")
SHOWN_IDS = 3  # in a message


@dataclass(frozen=True)
class SourceSpec:
    """How the rows of embeddings and metadata belong together, and which of them are of one patient.

    `group` is the column of what must not be split between folds, such as the patient, and `pattern` the regular
    expression that takes it out of the cell (its group, or all that it matches); without `group` every image is by
    itself. `adapter` is the module of `data/datasets` that makes one table of several.
    """

    id: str | None
    group: str | None = None
    pattern: str | None = None
    array: str | None = None
    ids: str | None = None
    drop_unmatched: bool = False
    adapter: str | None = None


@dataclass(frozen=True)
class EmbeddingSource:
    """Embedding (n, d), float32 and finite, with its metadata; row i of both is the same image, ordered by id.

    `unmatched` counts, by reason, the rows of the files that are left out as they have no partner; `kept_together`
    says what `groups` (n,) are; `read` says how the files were read.
    """

    name: str
    matrix: NDArray[np.float32]
    groups: NDArray[np.int64]
    table: pd.DataFrame
    unmatched: dict[str, int]
    kept_together: str
    read: tuple[str, ...]


def read_source(
    name: str,
    embeddings: Path,
    tables: Sequence[Path],
    spec: SourceSpec,
    columns: Sequence[str] = (),
    clusters: Path | None = None,
    index: Path | None = None,
) -> EmbeddingSource:
    """Read and check an embedding and its metadata.

    Args:
        embeddings: see `read_embeddings`.
        tables: see `read_foreign`; one table with one row per image, or those of `spec.adapter`.
        columns: of the metadata that the targets need.
        clusters: data/together.csv; images in one cluster are one group.
        index: data/images.csv, whose columns are beside those of the metadata.

    Raises:
        UserError: a file or column is missing, shapes or ids do not fit, ids repeat, an image has no group, or a
            feature is not finite or constant.
    """
    needed = dict.fromkeys(column for column in (spec.id, spec.group, *columns) if column)
    metadata = " and ".join(map(str, tables))
    if spec.adapter:
        table, told = _joined(tables, spec.adapter, list(needed), name), f"joined as {spec.adapter}"
    else:
        brought = read_foreign(tables[0], list(needed) if index is None else [spec.id] if spec.id else [])
        table, told = brought.cells, brought.found
    if index is not None:
        table = _with_index(table, str(spec.id), index, list(needed), name)
    vectors = read_embeddings(embeddings, name, spec.id, spec.ids, spec.array)
    both = [column for column in vectors.columns if column in table]
    if both:
        raise UserError(
            f"{name}: column {both[0]!r} is a feature in {embeddings} and stands in {metadata} as well; it is one or "
            "the other"
        )
    rows, own, unmatched = _paired(name, table, vectors, spec, metadata, embeddings)
    matrix, table = vectors.matrix[own], table.iloc[rows]
    _check_features(matrix, table, spec.id, name)
    labels, kept_together = _groups(name, table, spec, metadata)
    if clusters is not None:
        found = read_table(clusters).set_index("id")["cluster"]
        cluster = table[spec.id].map(found)
        labels = labels.where(cluster.isna(), "cluster " + cluster.astype(str))
        kept_together = "near-duplicates, and images of one patient where the table names patients"
    groups = pd.factorize(labels, sort=True)[0].astype(np.int64)
    read = (f"{metadata}: {told}", f"{embeddings}: {vectors.found}")
    return EmbeddingSource(name, matrix, groups, table, unmatched, kept_together, read)


def _joined(tables: Sequence[Path], adapter: str, needed: Sequence[str], name: str) -> pd.DataFrame:
    """One row per image from the tables of a data set as they are distributed; conflicts are counted in the log."""
    table = read_images(tables, {"dataset": adapter, "columns": {}, "skin_types": {}, "join": None}).astype(str)
    _require(needed, table, table.columns, name, f"the tables joined as {adapter}")
    return table


def _with_index(table: pd.DataFrame, id_column: str, index: Path, needed: Sequence[str], name: str) -> pd.DataFrame:
    """The rows with the other columns that the index has of their images."""
    more = pd.DataFrame(read_rows(index)).set_index(id_column)
    others = [column for column in more if column not in table]
    joined = table.join(more[others], on=id_column)
    _require(needed, joined, more.columns, name, "the table of images")
    return joined


def _require(needed: Sequence[str], table: pd.DataFrame, found: pd.Index, name: str, place: str) -> None:
    """Raise a `UserError` where a table lacks a needed column; the message says which were `found` in that place."""
    absent = [column for column in needed if column not in table]
    if absent:
        raise UserError(
            f"{name}: expected the columns {', '.join(absent)} in {place}; found {', '.join(map(str, found))}"
        )


def _paired(
    name: str, table: pd.DataFrame, vectors: Embeddings, spec: SourceSpec, metadata: str, embeddings: Path
) -> tuple[NDArray[np.int64], NDArray[np.int64], dict[str, int]]:
    """Row numbers of the table and of the matrix that belong together, in the order of ids, and what has no partner."""
    if spec.id is None:
        if len(vectors.matrix) != len(table):
            raise UserError(
                f"{name}: {embeddings} has {len(vectors.matrix)} rows and {metadata} has {len(table)}; paired by "
                "position (id: null) both list the same images in the same order"
            )
        order = np.arange(len(table))
        return order, order, {}
    ids = _checked_ids(table[spec.id].tolist(), f"{name}: column {spec.id} of {metadata}")
    if vectors.ids is None:
        raise UserError(
            f"{name}: {embeddings} holds no ids ({vectors.found}), and `id` is {spec.id!r}. Store them beside the "
            f"matrix, numpy.savez(..., {spec.id}=ids), or say `id: null` where row i of both files is the same image"
        )
    own = pd.Index(_checked_ids(vectors.ids, f"{name}: ids of {embeddings}"))
    where = own.get_indexer(pd.Index(ids))
    lost, strange = ids[where < 0], own.difference(pd.Index(ids), sort=False)
    if len(lost) == len(ids) or ((len(lost) or len(strange)) and not spec.drop_unmatched):
        raise UserError(
            f"{name}: {len(lost)} of {len(ids)} ids in {metadata} have no embedding ({_some(lost)}) and {len(strange)} "
            f"of {len(own)} embeddings no row there ({_some(strange)}); expected the same ids, letter by letter, or "
            "with `unmatched: drop` some in common"
        )
    unmatched = {"rows without an embedding": len(lost), "embeddings without a row": len(strange)}
    order = np.argsort(ids, kind="stable")
    order = order[where[order] >= 0]
    return order, where[order], {reason: count for reason, count in unmatched.items() if count}


def _groups(name: str, table: pd.DataFrame, spec: SourceSpec, metadata: str) -> tuple["pd.Series[str]", str]:
    """What each image belongs to, and in words what is kept together."""
    if spec.group is None:
        numbers = pd.Series([f"{row:012d}" for row in range(len(table))], index=table.index, dtype="str")
        alone = table[spec.id] if spec.id else numbers
        return alone, "nothing; images of one patient may be in training and test"
    cells = table[spec.group].str.strip()
    unknown = cells.str.lower().isin(NO_NAME) | cells.str.fullmatch(SHORTENED)
    if unknown.any():
        raise UserError(
            f"{name}: every image needs its group; in column {spec.group} of {metadata} {int(unknown.sum())} of "
            f"{len(cells)} cells hold none: {_cells(cells[unknown])}"
        )
    if spec.pattern is None:
        return cells, f"images of one {spec.group}"
    pattern = re.compile(spec.pattern)
    found = [pattern.search(cell) for cell in cells]
    taken = pd.Series(
        ["" if match is None else match[pattern.groups] or "" for match in found], index=cells.index, dtype="str"
    )
    if (taken == "").any():
        raise UserError(
            f"{name}: every image needs its group; {int((taken == '').sum())} of {len(cells)} cells in column "
            f"{spec.group} of {metadata} do not match {spec.pattern!r}: {_cells(cells[taken == ''])}"
        )
    return taken, f"images of one {spec.group}, of which {spec.pattern!r} takes a part"


def _checked_ids(ids: Sequence[str], what: str) -> NDArray[np.str_]:
    text = np.array(ids, dtype=str)
    if (text == "").any():
        raise UserError(f"{what}: {int((text == '').sum())} ids are empty; every image needs one")
    names, counts = np.unique(text, return_counts=True)
    if (counts > 1).any():
        raise UserError(f"{what}: {int((counts > 1).sum())} ids appear more than once, such as {names[counts > 1][0]}")
    return text


def _check_features(matrix: NDArray[np.float32], table: pd.DataFrame, id_column: str | None, name: str) -> None:
    bad = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if len(bad):
        which = table[id_column].iloc[bad[0]] if id_column else f"row {bad[0] + 1}"
        raise UserError(
            f"{name}: expected finite numbers; {len(bad)} embeddings hold NaN or infinity, such as that of {which}"
        )
    constant = np.flatnonzero(matrix.max(axis=0) == matrix.min(axis=0))
    if len(constant):
        raise UserError(
            f"{name}: expected features that vary; {len(constant)} of {matrix.shape[1]} are the same for all images, "
            f"such as number {constant[0]}"
        )


def _some(ids: Sequence[str] | NDArray[np.str_] | pd.Index) -> str:
    return ", ".join(repr(str(name)) for name in ids[:SHOWN_IDS]) or "none"


def _cells(cells: "pd.Series[str]") -> str:
    places = ", ".join(f"{cell!r} in {cells.index.name} {place}" for place, cell in cells.iloc[:SHOWN_IDS].items())
    return places + f" and {len(cells) - SHOWN_IDS} more" * (len(cells) > SHOWN_IDS)
