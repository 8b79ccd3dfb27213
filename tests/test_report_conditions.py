"""What the report says of the conditions of a study: photographs that are there, versions, warnings."""

import pandas as pd
from drawing import GROUPS, THREE
from test_report import config, design, record

from evenhand.figures.registry import declared_figures
from evenhand.report.conditions import (
    Availability,
    availability_counts,
    design_warnings,
    not_applicable,
    training_warnings,
    versions_used,
)
from evenhand.report.page import describe_table, table_warnings
from evenhand.splits.groups import groups_from


def test_availability_by_group() -> None:
    table = pd.DataFrame({"skin_type": [1, 2, 2, 5, -1, 3], "status": ["ok", "ok", "missing", "corrupt", "ok", "ok"]})
    light, dark, neither = availability_counts(table, GROUPS)
    assert [light.group, dark.group, neither.group] == [GROUPS[0].title, GROUPS[1].title, ""]
    assert (light.asked, light.found, light.lost) == (3, 2, {"missing": 1})
    assert (dark.asked, dark.found, dark.lost) == (1, 0, {"corrupt": 1})
    assert (neither.asked, neither.found, neither.lost) == (2, 2, {})


def test_what_needs_skin_is_named_where_there_is_none() -> None:
    table = pd.DataFrame({"condition": ["acne"], "condition_2": "a", "condition_3": "b"})
    table = pd.concat([table] * 2).assign(source=["one", "two"], skin_type=-1, second_skin_type=-1)
    groups = groups_from(THREE)
    (left_out,) = not_applicable(table, groups, skin=False)
    needing = [figure.name for figure in declared_figures(groups) if "skin" in figure.needs]
    assert f"(data.skin is false): {len(needing)} figures" in left_out
    with_skin = " ".join(not_applicable(table, groups, skin=True))
    assert "No row has a skin type in skin_type" in with_skin
    assert "left out" not in with_skin
    assert not_applicable(table.assign(skin_type=1, second_skin_type=1), groups, skin=True) == []


def test_warnings_say_what_differs_from_the_plan() -> None:
    plain = config()
    assert design_warnings(plain, design(), []) == []
    changed = config()
    changed["splits"] |= {"runs": 3, "replacement": True}
    found = " ".join(design_warnings(changed, design(1000), [Availability("light", 10, 8, {"missing": 2})]))
    for expected in ("1,000 images instead of the 1,668", "2 of 10 images", "p below 0.25", "with replacement"):
        assert expected in found
    assert training_warnings(plain, [record()]) == []
    changed["loss"]["perceptual_weights"] = "random"
    found = " ".join(training_warnings(changed, [record(), record(versions={"torch": "2.12"}, precision="bf16")]))
    for expected in ("random VGG19", "torch: 2.12 / 2.13", "different devices"):
        assert expected in found
    frame = pd.DataFrame({"warnings": ["did not converge", "", "did not converge", " "]})
    table = describe_table("models", b"", frame, {"models": {"$about": "x", "warnings": "y"}})
    assert table_warnings([table]) == ["Models: did not converge"]


def test_versions_of_all_models() -> None:
    records = [record(), record(versions={"torch": "2.13", "numpy": "2"})]
    assert versions_used(records) == {"numpy": "2 / none", "torch": "2.13"}
