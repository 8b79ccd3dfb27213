"""A multiverse: which variants there are, what turns a verdict, what is drawn, and what each variant would run."""

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from test_comparison import finished
from test_config import CONFIG, MULTIVERSES, SCHEMA
from test_report import Page
from workflow import copy_workflow

import run_multiverse
from evenhand.figures.style import house_style
from evenhand.models.registry import check_family
from evenhand.report.comparison import read_study
from evenhand.report.multiverse import (
    Multiverse,
    claims_by_variant,
    draw_curve,
    read_multiverse,
    robustness,
    sorted_curve,
    turned_by,
    variants_of,
    write_multiverse,
)
from evenhand.workflow.config import check_config
from evenhand.workflow.errors import UserError

ROOT = Path(__file__).parents[1]
POINTS = {
    "runs": {"ten": {}, "three": {"splits": {"runs": 3}}},
    "depth": {"deep": {}, "shallow": {"model": {"deep": False}}, "wide": {"model": {"width": 128}}},
}


def described(path: Path, **changes: object) -> Multiverse:
    """The multiverse of `POINTS`, changed, from a file."""
    whole = {"name": "many", "base": [], "settings": {}, "departures": 1, "minutes": {"base": 2.0}, "points": POINTS}
    path.write_text(yaml.safe_dump(whole | changes, sort_keys=False))
    return read_multiverse(path, ROOT / "schemas" / "multiverse.schema.yaml")


def test_variants_depart_from_the_base_at_so_many_points(tmp_path: Path) -> None:
    one = variants_of(described(tmp_path / "m.yaml"))
    assert [variant.name for variant in one] == ["base", "runs-three", "depth-shallow", "depth-wide"]
    two = variants_of(described(tmp_path / "m.yaml", departures=2))
    # All 2 x 3 readings, none with two options of one point.
    assert len(two) == len({tuple(variant.choices.items()) for variant in two}) == 6
    assert two[-1].name == "runs-three_depth-wide"
    assert two[-1].overlay == {"splits": {"runs": 3}, "model": {"width": 128}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minutes": {"base": 1, "depth-huge": 2}}, "minutes.depth-huge: expected base or a point and an option"),
        ({"points": {"runs": {"ten": {"seed": 3}, "three": {}}}}, "points.runs.ten: the first option"),
        ({"points": {"runs": {"ten": {}}}}, "points.runs"),
        ({"departure": 1}, "departure"),
        (
            {"departures": 2, "points": POINTS | {"few": {"no": {}, "yes": {"splits": {"runs": 2}}}}},
            "runs-three and few-yes both set splits.runs",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        described(tmp_path / "m.yaml", **changes)


def test_a_choice_without_effect_is_refused(tmp_path: Path) -> None:
    multiverse = described(tmp_path / "m.yaml", points={"depth": {"a": {}, "b": {"model": {"deep": True}}}})
    with pytest.raises(UserError, match="depth-b and base: expected different configurations"):
        run_multiverse.configurations(multiverse, variants_of(multiverse))


@pytest.mark.parametrize("path", MULTIVERSES, ids=lambda path: path.stem)
def test_every_variant_of_every_multiverse_is_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    multiverse = read_multiverse(path, ROOT / "schemas" / "multiverse.schema.yaml")
    configs = run_multiverse.configurations(multiverse, variants_of(multiverse))
    # The open points of sections 1 and 2 of the study.
    points = ["replacement", "depth", "normalisation", "kl", "isolation", "size", "annotator", "dark"]
    assert list(multiverse.points) == (["family"] if path.stem == "families" else points)
    for config in configs.values():
        check_config(config, SCHEMA)
        check_family(config, CONFIG)
    if path.stem == "multiverse":
        assert configs["base"] == CONFIG


def test_what_turns_a_verdict_is_the_least_that_does(tmp_path: Path) -> None:
    variants = variants_of(described(tmp_path / "m.yaml", departures=2))
    names = [variant.name for variant in variants]
    verdicts = dict.fromkeys(names, "supported")
    assert turned_by(verdicts, variants) == []
    # runs-three turns it by itself, so that its pairs say nothing more; of depth-wide neither part does.
    verdicts |= {"runs-three": "inconclusive", "runs-three_depth-shallow": "contradicted"}
    assert [variant.name for variant in turned_by(verdicts, variants)] == ["runs-three"]
    verdicts |= {"runs-three": "supported", "runs-three_depth-wide": "contradicted"}
    turning = [variant.name for variant in turned_by(verdicts, variants)]
    assert turning == ["runs-three_depth-shallow", "runs-three_depth-wide"]
    del verdicts["runs-three_depth-wide"]  # it does not have the claim
    assert [variant.name for variant in turned_by(verdicts, variants)] == ["runs-three_depth-shallow"]


def test_page_tables_and_curves(tmp_path: Path) -> None:
    multiverse = described(tmp_path / "m.yaml")
    variants = variants_of(multiverse)
    studies = []
    for place, variant in enumerate(variants):
        changes = variant.overlay

        def change(settings: dict, changes: dict = changes) -> None:
            for block, keys in changes.items():
                settings[block] |= keys

        folder = finished(tmp_path / f"many-{variant.name}", change, synthetic=True)
        claims = pd.read_csv(folder / "tables" / "claims.csv")
        claims.loc[claims["claim"] == "C1", ["estimate", "ci_low", "ci_high"]] += 0.1 * (place % 3)
        if variant.name == "depth-wide":
            claims.loc[claims["claim"] == "C1", "verdict"] = "inconclusive"
        claims.to_csv(folder / "tables" / "claims.csv", index=False)
        studies.append(read_study(folder))
    table = claims_by_variant(variants, studies)
    assert table.loc[table["claim"] == "C1", "choices"].tolist() == [
        *("runs ten, depth deep", "runs three, depth deep", "runs ten, depth shallow", "runs ten, depth wide")
    ]
    first = robustness(table, variants).set_index("claim").loc["C1"]
    assert first[["variants", "supported", "inconclusive", "base"]].tolist() == [4, 3, 1, "supported"]
    assert first["turned_by"] == "depth-wide (inconclusive)"

    curve = sorted_curve(table[table["claim"] == "C1"])
    assert curve["variant"].tolist() == ["base", "depth-wide", "runs-three", "depth-shallow"]
    with house_style():
        figure = draw_curve(curve, variants, multiverse.option_names)
    lower = figure.axes[1]
    chosen = [list(line.get_xdata()) for line in lower.get_lines()[1::2]]  # type: ignore[arg-type]
    assert dict(zip(multiverse.option_names, chosen, strict=True)) == {
        ("runs", "ten"): [0, 1, 3],
        ("runs", "three"): [2],
        ("depth", "deep"): [0, 2],
        ("depth", "shallow"): [3],
        ("depth", "wide"): [1],
    }

    template = ROOT / "workflow_scripts" / "evenhand" / "report" / "templates" / "multiverse.html.j2"
    write_multiverse(template, multiverse, variants, studies, tmp_path / "many")
    html = (tmp_path / "many" / "multiverse.html").read_text()
    words = " ".join(" ".join(Page(html).text).split())
    assert "Of 4 variants: supported in 3 and inconclusive in 1." in words
    assert "The verdict of the base, supported, is turned by depth-wide (inconclusive)." in words
    assert "model.width : 64 → 128" in words
    assert "Synthetic data: nothing here says anything about patients." in words
    assert "http" not in re.sub(r'"data:[^"]*"', "", html).replace("http-equiv", "")
    assert {path.name for path in (tmp_path / "many" / "curves").iterdir()} == {"C1.svg", "C1.pdf"}
    before = {path: path.read_bytes() for path in (tmp_path / "many").rglob("*.*")}
    write_multiverse(template, multiverse, variants, studies, tmp_path / "many")
    assert before == {path: path.read_bytes() for path in (tmp_path / "many").rglob("*.*")}


def test_a_plan_counts_jobs_and_the_minutes_that_are_stated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy_workflow(tmp_path / "repository")
    monkeypatch.chdir(folder)
    points = {
        "runs": {"two": {}, "three": {"splits": {"runs": 3}}},
        "depth": {"no": {}, "yes": {"model": {"deep": True}}},
    }
    described(Path("m.yaml"), base=["tiny.yaml"], points=points, minutes={"base": 2, "depth-yes": None})
    options = ["--workflow-profile", "profiles/cpu"]
    run_multiverse.main(["m.yaml", "--plan", *options])
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert {name: lines[name][1:] for name in ("base", "runs-three", "depth-yes")} == {
        "base": ["6", "12"],  # models: three training sets, two runs
        "runs-three": ["9", "18"],
        "depth-yes": ["6", "?"],
    }
    assert lines["in"][-1] == "30"
    assert "6 models of depth-yes, whose minutes are not stated" in " ".join(lines["?"])
    overlay = yaml.safe_load(Path("results/many/runs-three.yaml").read_text())
    assert overlay == {"splits": {"runs": 3}, "study": "many-runs-three"}
    # What the page says of models where their families differ is in the table of gaps.
    many = read_multiverse(Path("m.yaml"), ROOT / "schemas" / "multiverse.schema.yaml")
    base = variants_of(many)[0]
    config = run_multiverse.configurations(many, [base])["base"]
    plan = run_multiverse.snakemake(many, base, config, [*options, "--dry-run"], show=False)
    assert {"judge_claims", "estimate_gaps"} <= set(re.findall(r"^(\w+) +\d+$", plan, flags=re.MULTILINE))
