"""From the tables that a configuration names to one table of images: read, prepared or joined, and checked."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast

import pandas as pd

from evenhand.data.foreign_tables import read_foreign
from evenhand.data.metadata import TableFormat, image_table, skin_codes
from evenhand.data.text_tables import MissingColumnsError
from evenhand.workflow.errors import UserError


class Adapter(Protocol):
    """What a module of `data/datasets` holds, for a table that needs code before it is one row per image.

    Attributes:
        TABLES: its tables in the order of `data.metadata`, by a name, with the columns that each must have.
        FORMAT: what `prepare` calls its columns.
        STATED: if there, what is published of the data set, by the items of `evenhand.report.cards`.
    """

    TABLES: Mapping[str, Sequence[str]]
    FORMAT: TableFormat

    def prepare(self, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """One row per image, cells as text, from the cells of the tables; the index names a row in messages."""
        ...


def load_adapter(name: str) -> Adapter:
    """The module of a data set; any of `datasets.adapter_names`."""
    return cast(Adapter, importlib.import_module(f"evenhand.data.datasets.{name}"))


def stated_by(name: str | None) -> Mapping[str, str]:
    """What the module of a data set states of it, `STATED`; nothing where it states nothing or there is no module."""
    found: Mapping[str, str] = getattr(load_adapter(name), "STATED", {}) if name else {}
    return found


def read_images(paths: Sequence[Path], data: Mapping[str, Any]) -> pd.DataFrame:
    """The table of images of a study.

    Args:
        paths: of its tables.
        data: keys dataset, columns, skin_types and join of the block `data` of the configuration.

    Returns:
        As `image_table`.

    Raises:
        UserError: as `read_foreign` and `image_table`; or the tables are not those of the data set.
    """
    codes = skin_codes(data["skin_types"])
    if data["dataset"]:
        adapter = load_adapter(data["dataset"])
        if len(paths) != len(adapter.TABLES):
            raise UserError(
                f"data.metadata: expected the tables of {data['dataset']}: {', '.join(adapter.TABLES)}; found "
                f"{', '.join(map(str, paths))}"
            )
        needed = zip(adapter.TABLES.items(), paths, strict=True)
        cells = adapter.prepare({name: _cells(path, columns) for (name, columns), path in needed})
        form = replace(adapter.FORMAT, **_named(data["columns"]), **(codes if data["skin_types"] else {}))
    else:
        form = TableFormat(**_named(data["columns"]), **codes)
        cells = joined_cells(paths, data["join"], form.needed)
    return image_table(cells, form, " and ".join(map(str, paths)))


def joined_cells(paths: Sequence[Path], key: str | None, needed: Sequence[str]) -> pd.DataFrame:
    """The cells of the first table, beside those of the others in the row with the same cell in the column `key`.

    Rows of the first table without such a row have empty cells there, and are counted.

    Raises:
        UserError: a column of `needed` is in none of them; another table has a cell of `key` twice, or a column that
            one before has.
    """
    first, *others = paths
    if key is None:
        return _cells(first, needed)
    table = _cells(first, [key])
    for path in others:
        more = _cells(path, [key])
        twice = more[key][more[key].duplicated()]
        if len(twice):
            raise UserError(
                f"{path}: expected every {key} once, to be joined by it; found {len(twice)} again, such as "
                f"{twice.iloc[0]!r} in {more.index.name} {twice.index[0]}"
            )
        both = [name for name in more if name in table and name != key]
        if both:
            raise UserError(
                f"{path}: expected every column once; an earlier table has {', '.join(map(str, both))}, too"
            )
        partner = table[key].isin(more[key])
        print(f"{path}: {int(partner.sum()):,} of {len(table):,} rows of {first} have their {key} in it")
        index = table.index
        table = table.merge(more, on=key, how="left").fillna("").set_axis(index)
    absent = [name for name in needed if name not in table]
    if absent:
        raise UserError(f"data.columns: expected {', '.join(absent)}; not in {', '.join(map(str, paths))}")
    return table


def _named(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The block data.columns as fields of a format."""
    return {key: tuple(name) if key == "conditions" else name for key, name in columns.items()}


def _cells(path: Path, needed: Sequence[str]) -> pd.DataFrame:
    try:
        brought = read_foreign(path, list(dict.fromkeys(needed)))
    except MissingColumnsError as error:
        raise UserError(
            f"{error}. data.columns says what a table calls its columns, such as {{id: DDI_ID}}."
        ) from error
    print(f"{path}: {brought.found}")
    return brought.cells
