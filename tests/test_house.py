"""How the code is kept: short modules, a README that the workflow catalog accepts, a citation that can be read."""

import ast
import json
import re
from pathlib import Path

import pytest
import yaml
from workflow import ROOT

MOST_LINES = 350
CODE = sorted([*(ROOT / "workflow_scripts").rglob("*.py"), *(ROOT / "rules").glob("*.smk"), ROOT / "Snakefile"])


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_one_idea(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES, "split it along its two ideas"


# What reads or writes a table. `files` has rows of text, `tables` whole tables, the others those of other people.
TABLES = {"read_csv", "read_table", "read_fwf", "read_parquet", "read_excel", "to_csv", "to_parquet", "to_excel"}
READERS = {"csv": {"reader", "writer", "DictReader", "DictWriter"}, "pq": {"read_table", "ParquetFile", "write_table"}}
OF_TABLES = [
    "workflow/files.py",
    "workflow/tables.py",
    "data/foreign_tables.py",
    "data/text_tables.py",
    "probes/embeddings.py",
]


@pytest.mark.parametrize("path", [path for path in CODE if path.suffix == ".py"], ids=lambda path: path.stem)
def test_one_module_reads_and_writes_the_tables_between_stages(path: Path) -> None:
    if path in [ROOT / "workflow_scripts" / "evenhand" / name for name in OF_TABLES]:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            assert not (node.attr in TABLES and owner != "tables"), f"line {node.lineno}: {ast.unparse(node)}"
            assert node.attr not in READERS.get(owner, set()), f"line {node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.ImportFrom):
            assert node.module not in ("csv", "pandas", "pyarrow.parquet"), f"line {node.lineno}: {ast.unparse(node)}"


def test_the_workflow_catalog_lists_it() -> None:
    # Its criteria: the README says what this is, a Snakefile at the top, rules in files of their own.
    readme = (ROOT / "README.md").read_text().lower()
    assert "snakemake" in readme
    assert "workflow" in readme
    assert (ROOT / "Snakefile").is_file()
    assert list((ROOT / "rules").glob("*.smk"))
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage["software-stack-deployment"]) == {"conda", "apptainer", "apptainer+conda", "report"}


def test_citation_and_licence_agree() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert (ROOT / "LICENSE").read_text().startswith(f"{citation['license']} License")


def test_the_browser_tests_name_no_registry_and_pin_by_hash() -> None:
    lock = (ROOT / "tests" / "browser" / "package-lock.json").read_text()
    packages = {name: entry for name, entry in json.loads(lock)["packages"].items() if name}
    assert packages
    assert all(entry["integrity"].startswith("sha512-") for entry in packages.values())
    assert "http" not in lock


def test_contributing_names_what_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    source = "".join(path.read_text() for path in (*CODE, *(ROOT / "tests").glob("*.py")))
    for name in re.findall(r"`((?:rules|tests|schemas|workflow_scripts|evenhand)/[\w./]+\w)`", text):
        if re.search(r"[/_]x\.", name):  # the reader's own
            continue
        place = ROOT / "workflow_scripts" / name if name.startswith("evenhand/") else ROOT / name
        assert place.exists(), name
    names = set(re.findall(r"`(_?[A-Za-z]+_\w+|[A-Z]{4,}|[A-Z][a-z]+[A-Z]\w+)`", text))
    assert names
    for name in names:
        assert re.search(rf"\b{name}\b", source), name
