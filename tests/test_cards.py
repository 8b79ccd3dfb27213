"""What a study must state: every item has a row, what is known is there with who says it, and all else is a gap."""

import pandas as pd
import yaml
from test_report import config, design, record
from workflow import ROOT

from evenhand.data.datasets import adapter_names
from evenhand.data.tables import stated_by
from evenhand.report.cards import ITEMS, NOT_STATED, own_columns, state_data, state_models

CARD = pd.DataFrame(
    {
        "item": ["rows of the metadata"] * 3 + ["photographs with the checksum of the metadata"] * 3,
        "group": ["light", "dark", "all"] * 2,
        "number": [7755.0, 2168.0, 16577.0, 1.0, 0.9876, 0.5],
    }
)


def stated(synthetic: bool = False, **said: str) -> dict[str, list[tuple[str, str]]]:
    """By item the values with who says so."""
    settings = config()
    settings["data"]["stated"] = said
    table = state_data(settings, synthetic, stated_by("fitzpatrick17k"), CARD, ["skin_type", "sex"])
    return {str(item): list(zip(rows["value"], rows["by"], strict=True)) for item, rows in table.groupby("item")}


def test_every_item_has_a_row_and_gaps_are_shown() -> None:
    found = stated(ethics="Approved by nobody.", licence="asked for")
    assert set(found) == set(ITEMS)
    assert found["selection"] == found["purpose"] == [(NOT_STATED, "")]
    assert found["ethics"] == [("Approved by nobody.", "data.stated")]
    # What the author states stands beside what the data set's module states, and replaces nothing.
    assert [by for _, by in found["licence"]] == ["data set fitzpatrick17k", "data.stated"]
    assert "CC BY-NC-SA 3.0" in found["licence"][0][0]
    assert found["groups"] == [("rows of the metadata: light 7,755, dark 2,168, all 16,577", "measured here")]
    assert found["quality"][0][0].endswith("light 100 %, dark 98.76 %, all 50 %")
    assert found["attributes"][0][0].startswith("columns of the table: sex and skin_type;")


def test_generated_pictures_are_not_said_to_be_a_data_set() -> None:
    found = stated(synthetic=True)
    assert "no photograph, no patient" in found["name"][0][0]
    assert not any("CC BY" in value or "fitzpatrick17k" in by for rows in found.values() for value, by in rows)


def test_items_are_those_that_may_be_stated() -> None:
    schema = yaml.safe_load((ROOT / "schemas" / "config.schema.yaml").read_text())
    allowed = schema["properties"]["data"]["properties"]["stated"]["propertyNames"]["enum"]
    assert set(allowed) == set(ITEMS)
    for name in adapter_names():
        assert set(stated_by(name)) <= set(ITEMS), name
    assert stated_by(None) == {}


def test_columns_of_people_are_those_that_the_table_fills() -> None:
    cells = {"id": ["a", "b"], "condition": ["x", "y"], "sex": ["", "F"], "age": ["", ""], "status": ["ok", "ok"]}
    table = pd.DataFrame(cells | {"skin_type": [-1, 2], "second_skin_type": [-1, -1], "patient": ["", ""]})
    assert own_columns(table, ["status"]) == ["sex", "skin_type"]


def test_the_model_card_counts_models_and_claims_nothing_untested() -> None:
    card = state_models(config(), [record(run=0), record(run=1)], design(), "CC0")
    cells = card.set_index("item")["value"]
    assert cells["models"].startswith("2: ")
    assert cells["licence of the pictures"] == "CC0"
    assert cells["licence of the weights"] == NOT_STATED
    assert cells["other data sets"] == "not tested"
    assert not card.isna().any().any()
