"""Read from the code: no pickle, no shell built from data, no file that has its name before it is whole."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from workflow import ROOT

CODE = sorted((ROOT / "workflow_scripts").rglob("*.py"))
RULES = sorted([*(ROOT / "rules").glob("*.smk"), ROOT / "Snakefile"])
# What reaches a shell without quotes: numbers, words that the schema closes, and options that the rules put together of
# fixed words and paths below results/<study>.
UNQUOTED = r"threads|resources\.\w+|wildcards\.(run|shard|member|dataset)|params\.\w+_option"
EXECUTES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
WRITERS = {"savefig", "to_csv", "to_parquet", "save_file", "savez", "savez_compressed", "write_text", "write_bytes"}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keyword(call: ast.Call, name: str) -> object:
    """The constant value of a keyword; None where it is not given."""
    return next((ast.literal_eval(entry.value) for entry in call.keywords if entry.arg == name), None)


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.stem)
def test_nothing_that_is_read_is_executed(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert not {name.split(".")[0] for name in names} & EXECUTES
    for name, call in calls(path):
        assert name not in ("eval", "exec", "os.system", "os.popen", "yaml.load", "pd.read_pickle", "torch.save"), name
        assert keyword(call, "shell") is None
        if name == "torch.load":
            assert keyword(call, "weights_only") is True
        if name in ("np.load", "numpy.load"):
            assert not keyword(call, "allow_pickle")


def test_rules_import_nothing_that_executes_data() -> None:
    for path in RULES:
        assert not re.search(rf"^\s*(?:import|from) (?:{'|'.join(EXECUTES)})\b", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.stem)
def test_products_are_written_under_a_temporary_name(path: Path) -> None:
    # Names that `with atomic_path(...) as` gives, and buffers in memory, are the only targets of a writer.
    if path.name == "files.py":
        return
    tree = ast.parse(path.read_text())
    temporary = {
        ast.unparse(item.optional_vars)
        for node in ast.walk(tree)
        if isinstance(node, ast.With)
        for item in node.items
        if item.optional_vars and "atomic_path" in ast.unparse(item.context_expr)
    }
    buffers = {
        ast.unparse(node.targets[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("io.")
    }
    for name, call in calls(path):
        writer = name.rsplit(".", 1)[-1]
        if writer not in WRITERS or not call.args or (writer in ("write_text", "write_bytes") and "." not in name):
            continue
        target = (
            name.rsplit(".", 1)[0]
            if writer in ("write_text", "write_bytes")
            else ast.unparse(call.args[writer == "save_file"])
        )
        assert target in temporary | buffers, f"{path.name}: {ast.unparse(call)[:80]}"


def test_what_reaches_a_shell_is_quoted_or_cannot_hold_a_command() -> None:
    text = "\n".join(path.read_text() for path in RULES)
    lines = "\n".join(re.findall(r'^ +f?"(.*)"$', text, re.MULTILINE))
    fields = re.findall(r"\{((?:params|input|output|log|wildcards|resources|threads)[^{}]*)\}", lines)
    assert fields
    assert not [field for field in fields if not re.fullmatch(rf"{UNQUOTED}|.*:q", field)]
    # The words: what the schema lets through has no character that a shell reads.
    whole = yaml.safe_load((ROOT / "schemas" / "config.schema.yaml").read_text())
    schema = whole["properties"]
    for entry in [schema["study"], whole["$defs"]["name"], whole["$defs"]["source_name"]]:
        for character in " ;&|<>()$`\\\"'*?[]#~=%!{}\n/":
            assert not re.search(entry["pattern"], f"a{character}b"), (entry, character)
            assert not re.search(entry["pattern"], f"a{character}"), (entry, character)
    for block, key in [("data", "icc"), ("evaluate", "device"), ("probe", "device")]:
        entry = schema[block]["properties"][key]
        words = entry.get("enum") or whole["$defs"][entry["$ref"].rsplit("/", 1)[1]]["enum"]
        assert all(re.fullmatch("[a-z_]+", word) for word in words)
