"""What an adapter does with rows that are not as they should be: done, counted and named, so that nothing is silent."""

import pandas as pd

NOT_GIVEN = "not given"  # a condition that nobody named
SHOWN = 3  # rows named in a line


def mention(cells: "pd.Series[str]", what: str) -> None:
    """Say how many cells there are, if any, and where the first of them are, such as "2 cells: 'x' in line 4, ..."."""
    if len(cells):
        named = ", ".join(f"{cell!r} in {cells.index.name} {row}" for row, cell in cells.iloc[:SHOWN].items())
        more = f" and {len(cells) - SHOWN:,} more" if len(cells) > SHOWN else ""
        print(f"{len(cells):,} {what}: {named}{more}")


def leave_out(table: pd.DataFrame, wrong: "pd.Series[bool]", column: str, why: str) -> pd.DataFrame:
    """The rows in which `wrong` does not hold; the others are said to be left out, by their cells of `column`."""
    mention(table.loc[wrong, column], f"rows left out, as {why}")
    return table[~wrong]


def first_of_each(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """The first row with each cell of `column`; later ones are left out, and those that say something else named."""
    later = table[column].duplicated()
    same = table.duplicated()
    table = leave_out(table, later & same, column, f"an earlier row has the same cells ({column})")
    return leave_out(table, (later & ~same)[table.index], column, f"an earlier row, with other cells, has the {column}")


def one_value_each(cells: "pd.Series[str]", of: "pd.Series[str]", whose: str) -> "pd.Series[str]":
    """The value of each name in `of`, indexed by it; "" where its rows have several, which is said.

    Args:
        cells: values; an empty one says nothing.
        of: the name of each, of the same rows.
        whose: in words, in the plural, such as "patients".
    """
    pairs = pd.DataFrame({"name": of, "value": cells})
    pairs = pairs[pairs["value"] != ""].drop_duplicates()
    several = pairs["name"].duplicated(keep=False)
    conflicts = pairs[several].groupby("name")["value"].agg(lambda values: " and ".join(sorted(values)))
    conflicts.index.name = str(of.name)
    mention(conflicts, f"{whose} with conflicting cells of {cells.name}, which are left empty")
    values = pairs.drop_duplicates("name").set_index("name")["value"]
    return values.mask(values.index.isin(conflicts.index), "").reindex(pd.unique(of), fill_value="")


def conditions_from(cells: "pd.Series[str]") -> "pd.Series[str]":
    """Conditions without blanks at their ends, those that are empty called `NOT_GIVEN`; both are counted."""
    stripped = cells.str.strip()
    mention(cells[(cells != stripped) & (stripped != "")], f"cells of {cells.name} with blanks at their ends, removed")
    mention(cells[stripped == ""], f"rows without {cells.name}: their condition is called {NOT_GIVEN!r}")
    return stripped.replace("", NOT_GIVEN)


def count_by(cells: "pd.Series[str]", what: str) -> None:
    """Say how often each cell is there, the commonest first."""
    counts = cells.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    print(f"{what}: {', '.join(f'{cell} {rows:,}' for cell, rows in counts.items())}")


def compare_keys(keys: "pd.Series[str]", others: "pd.Series[str]", where: str) -> None:
    """Say which keys have no partner among `others`, the keys of the table `where`, and how many of those have none.

    Rows of the one stay, with empty cells; those of the other are not used.
    """
    alone = keys[~keys.isin(others)]
    mention(
        alone.drop_duplicates(), f"cells of {keys.name} ({len(alone):,} rows) are not in {where}: nothing from there"
    )
    mention(others[~others.isin(keys)], f"rows of {where} are not used, as no row here has their {others.name}")
