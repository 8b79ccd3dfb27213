"""Inputs that nobody thought of: the readers accept them or say what is wrong, and raise nothing else."""

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paper import read_fitzpatrick17k
from test_inputs import GOOD_CSV, PAPER, SCHEMA, leaves

from evenhand.data.metadata import SAFE_ID
from evenhand.workflow.config import check_config
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import verify_checksum, write_checksums

cells = st.text(max_size=12) | st.sampled_from(["", "1", "-1", "0" * 32, '"', ",", "\n", "\x00", "../x", "NaN", "é"])
tables = st.lists(st.lists(cells, max_size=8).map(",".join), max_size=8).map("\n".join).map(str.encode)
# Our own table with some bytes replaced: it gets further than noise.
damaged = st.lists(st.tuples(st.integers(0, len(GOOD_CSV) - 1), st.binary(max_size=3)), min_size=1, max_size=4).map(
    lambda edits: _replaced(GOOD_CSV, edits)
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)
quietly = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), database=None)


def _replaced(content: bytes, edits: list[tuple[int, bytes]]) -> bytes:
    for position, new in edits:
        content = content[:position] + new + content[position + 1 :]
    return content


def count(record: Callable[[str, object], None], name: str, fuzz: Callable[[Callable[[], None]], None]) -> None:
    """Run a property and report how many inputs it tried; one that fails raises."""
    tried = 0

    def one_more() -> None:
        nonlocal tried
        tried += 1

    fuzz(one_more)
    record("matrix", f"fuzz: {name}")
    record("tried", tried)


def test_metadata(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    path = tmp_path / "table.csv"

    def fuzz(one_more: Callable[[], None]) -> None:
        @quietly
        @given(tables | damaged | st.binary(max_size=200))
        def prop(content: bytes) -> None:
            one_more()
            path.write_bytes(content)
            with warnings.catch_warnings(action="ignore"):
                try:
                    table = read_fitzpatrick17k(path)
                except UserError:
                    return
            assert table["id"].str.fullmatch(SAFE_ID).all()
            assert table["id"].is_unique
            assert table["skin_type"].isin([-1, 1, 2, 3, 4, 5, 6]).all()

        prop()

    count(record_property, "metadata", fuzz)


def test_manifests(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    path = tmp_path / "run0.csv"
    path.write_bytes(GOOD_CSV)
    write_checksums([path], path.with_suffix(".sha256"))

    def fuzz(one_more: Callable[[], None]) -> None:
        @quietly
        @given(damaged | st.binary(max_size=100))
        def prop(content: bytes) -> None:
            one_more()
            path.write_bytes(content)
            try:
                verify_checksum(path)
            except UserError:
                assert content != GOOD_CSV
            else:
                assert content == GOOD_CSV

        prop()

    count(record_property, "manifests", fuzz)


def test_configuration(record_property: Callable[[str, object], None]) -> None:
    def fuzz(one_more: Callable[[], None]) -> None:
        @quietly
        @given(st.lists(st.tuples(st.sampled_from(leaves(PAPER)), values), min_size=1, max_size=3))
        def prop(edits: list[tuple[tuple[str, ...], Any]]) -> None:
            one_more()
            config = copy.deepcopy(PAPER)
            for path, value in edits:
                block = config
                for key in path[:-1]:
                    block = block[key]
                block[path[-1]] = value
            try:
                check_config(config, SCHEMA)
            except UserError as error:
                assert str(error).startswith("the configuration is not valid")  # noqa: PT017
            else:
                yaml.safe_dump(config)

        prop()

    count(record_property, "configuration", fuzz)
