"""Write what a study must state: of its data, as STANDING Together asks, and of its models."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from evenhand.data.metadata import ADDED
from evenhand.data.tables import stated_by
from evenhand.report.cards import NOT_STATED, own_columns, state_data, state_models
from evenhand.workflow.errors import run
from evenhand.workflow.provenance import run_records
from evenhand.workflow.tables import read_image_table, read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", required=True, type=Path, help="settings/study.json: the whole configuration")
    parser.add_argument("--record", required=True, type=Path, help="data/images.json")
    parser.add_argument("--availability", required=True, help="data/availability.csv")
    parser.add_argument("--card", required=True, help="tables/dataset_card.csv")
    parser.add_argument("--design", required=True, help="tables/design.csv")
    parser.add_argument("--models", required=True, type=Path, help="folder of <train_set>/run<r>/run.json")
    parser.add_argument("--data-statement", required=True, help="output CSV: what is known of the data, item by item")
    parser.add_argument("--model-card", required=True, help="output CSV: what the models are and are not for")
    args = parser.parse_args(argv)

    config = json.loads(args.settings.read_text("utf-8"))
    synthetic = json.loads(args.record.read_text("utf-8"))["synthetic"]
    stated = stated_by(config["data"]["dataset"])
    columns = own_columns(read_image_table(args.availability), ADDED)
    statement = state_data(config, synthetic, stated, read_table(args.card), columns)
    write_csv(statement, args.data_statement)
    records = run_records(args.models, config["splits"])
    licence = "; ".join(statement.loc[statement["item"] == "licence", "value"])
    write_csv(state_models(config, records, read_table(args.design), licence), args.model_card)
    gaps = statement.loc[statement["value"] == NOT_STATED, "item"].tolist()
    print(f"not stated of the data: {', '.join(gaps) or 'nothing'}")


if __name__ == "__main__":
    run(main)
