"""Names of every kind through the real stages: the tables are those of plain names, but for the names."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paper import mix
from simulated import covariances_of

from evenhand.data.availability import count_available
from evenhand.data.duplicate_tables import describe_clusters
from evenhand.data.metadata import COLUMNS, CONDITION_COLUMNS, assign_group
from evenhand.data.tables import read_images
from evenhand.probes.claims import probe_claims
from evenhand.probes.tables import contrast_table, contrast_units, curve_table, poster_table, set_table
from evenhand.probes.targets import TargetSpec, count_classes, read_target
from evenhand.splits.design import Design, candidates_from, describe_design, draw_test, draw_train
from evenhand.splits.groups import TrainSet, groups_from, pairs_of
from evenhand.splits.manifests import read_draw, write_draw
from evenhand.stats.models import model_gaps
from evenhand.stats.prevalence import prevalence_table
from evenhand.stats.rows import read_evaluation
from evenhand.stats.strata import adjusted_gaps
from evenhand.stats.subsets import parts_of, subset_means, subset_table
from evenhand.stats.summary import (
    RUN_METRICS,
    condition_table,
    error_totals,
    headline_table,
    pooled_conditions,
    summarise,
)
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import read_rows, row_writer
from evenhand.workflow.tables import read_image_table, read_table, write_csv, write_image_table, write_parquet

NASTY = [
    *("NA", "None", "nan", "null", "n/a", "true", "False", "1.0", "007", "1e5", "inf", "-1", "no", "neither", "light"),
    *('"', "'", "#a", "=1+1", "a,b;c", 'a "b"', "label", "a / b", "a | b", "$x_1$ ^{y} \\alpha 5 %", "<b>x</b> &amp;"),
    *("银屑病", "الصدفية", "e\u0301", "🙂", "_hidden", "(missing)"),
]
PLAIN = ("first", "second", "third", "fourth")
SETS = ("A", "B")
names = st.sampled_from(NASTY) | st.text(min_size=1, max_size=12)
train_set = st.sampled_from(["NA", "None", "nan", "007", "true", "1e5", "inf", "1"]) | st.from_regex(
    r"[A-Za-z0-9][A-Za-z0-9-]{0,8}", fullmatch=True
)
several = st.lists(names, min_size=4, max_size=4, unique=True)
few = settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow])


def tables_of(folder: Path, labels: Sequence[str], sets: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Every table with a name in it, as its reader gets it: 48 rows of metadata, two runs of two training sets."""
    hashes = [f"{number:032x}" for number in range(48)]
    given = pd.DataFrame({"id": hashes, "skin_type": [1, 6] * 24})
    for level, many in zip(CONDITION_COLUMNS, (4, 3, 2), strict=True):
        given[level] = [labels[number // 2 % many] for number in range(48)]
    given["source"] = ["one", "two"] * 12 + ["", ""] * 12
    given.to_csv(folder / "given.csv", index=False, quoting=csv.QUOTE_ALL)
    columns = {key: key for key in ("id", "skin_type", "source")} | {"conditions": CONDITION_COLUMNS}
    data = {"dataset": None, "columns": columns, "skin_types": {}, "join": None}
    write_image_table(read_images([folder / "given.csv"], data), folder / "metadata.csv")
    with row_writer(folder / "images.csv", ["row", *COLUMNS, "status"]) as write:
        for number, row in enumerate(read_rows(folder / "metadata.csv")):
            write({"row": number, "status": "ok", **row})

    metadata, images = read_image_table(folder / "metadata.csv"), read_image_table(folder / "images.csv")
    found = {"metadata": metadata, "images": images.drop(columns=["row", "status"])}
    kinds = (("light", 1), ("dark", 6))
    groups = groups_from([{"name": name, "title": name, "where": {"skin_type": [n]}} for name, n in kinds])
    (pair,) = pairs_of(groups)
    group = assign_group(metadata, groups)
    found["prevalence"] = prevalence_table(metadata, group, [pair])
    found["availability"] = pd.concat([count_available(images, level) for level in CONDITION_COLUMNS])
    pairs = images.assign(group=group, cluster=[hashes[number // 4 * 4] for number in range(48)])
    found["duplicate_clusters"] = describe_clusters(pairs)

    named = tuple(TrainSet(name, mix(share)) for name, share in zip(sets, (0.5, 1.0), strict=True))
    design = Design(1, groups, 6, 8, 2, False, named)
    candidates = candidates_from(read_rows(folder / "images.csv"), groups)
    draws: dict[str, list[dict[str, list[str]]]] = {name: [] for name in sets}
    for run in range(2):
        test = draw_test(candidates, design, run)
        for which in design.train_sets:
            path = folder / "train.csv"
            write_draw(draw_train(candidates, design, run, which, 8, test), run, which.name, path)
            draws[which.name].append(read_draw(path, run, which.name))
    found["design"] = pd.DataFrame(describe_design(design, 8, draws))

    rng = np.random.default_rng(0)
    models = []
    for name, share in zip(sets, (0.5, 1.0), strict=True):
        for run in range(2):
            rows = images[["id", *CONDITION_COLUMNS, "source", "skin_type", "second_skin_type"]].assign(group=group)
            rows = rows.assign(train_set=name, compared_share=share, run=run)
            for metric in RUN_METRICS:
                rows[metric] = rng.uniform(1, 2, len(rows))
            write_parquet(rows, folder / "evaluation.parquet")
            columns = ["skin_type", "second_skin_type"]
            models.append(
                read_evaluation(folder / "evaluation.parquet", pair, RUN_METRICS, ["condition", "source"], columns)
            )
    runs, totals = summarise(models, pair)
    found |= {"runs": runs, "headline": headline_table(runs, totals), "conditions": condition_table(totals, pair)}
    found["pooled_conditions"] = pooled_conditions(totals, runs, pair, 0.95)
    of_images, cells = error_totals(models, pair)
    by_run = [pd.concat(models[run::2], ignore_index=True) for run in range(2)]
    parts = [parts_of(run, groups) for run in by_run]
    found["adjusted"] = adjusted_gaps(of_images, by_run, pair, None, 2, 2, 0.05, 0.05)
    found["models"] = model_gaps(of_images, cells, by_run, pair, 0.95)
    covariances = {name: covariances_of(pd.concat([part[name] for part in parts]), ["mse"], pair) for name in parts[0]}
    found["subsets"] = subset_table(
        pd.concat([subset_means(part, ["mse"]) for part in parts]), covariances, pair, ["mse"], 0.05
    )
    images_too = {"metadata", "images"}
    for name, table in found.items():
        (write_image_table if name in images_too else write_csv)(table, folder / f"{name}.csv")
    return {name: (read_image_table if name in images_too else read_table)(folder / f"{name}.csv") for name in found}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    return tables_of(tmp_path_factory.mktemp("plain"), PLAIN, SETS)


def assert_same_but_for_names(found: pd.DataFrame, expected: pd.DataFrame, back: dict[str, dict[str, str]]) -> None:
    """The rows of `found`, their names put back column by column, are those of `expected` in whatever order."""
    assert list(found) == list(expected)
    found = found.assign(**{column: found[column].map(names) for column, names in back.items() if column in found})
    text = [column for column in found if found[column].dtype == "str"]
    found, expected = (table.sort_values(text, kind="stable", ignore_index=True) for table in (found, expected))
    pd.testing.assert_frame_equal(found, expected, rtol=1e-6, atol=1e-9)


@few
@given(several, st.lists(train_set, min_size=2, max_size=2, unique=True))
def test_names_decide_on_nothing(
    tmp_path_factory: pytest.TempPathFactory, plain: dict[str, pd.DataFrame], labels: list[str], sets: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("names")
    try:
        found = tables_of(folder, labels, sets)
    except UserError as refused:  # as a table of the user's, with its line
        assert "in line " in str(refused)  # noqa: PT017
        return
    of_label, of_set = dict(zip(labels, PLAIN, strict=True)), dict(zip(sets, SETS, strict=True))
    back = {"train_set": of_set, "condition": of_label, "value": of_label} | dict.fromkeys(CONDITION_COLUMNS, of_label)
    # The draws differ, since they are seeded by the name of the set; and the joined names have no way back.
    assert found["design"]["train_set"].tolist() == sets
    joined = [" | ".join(sorted(labels[place] for place in pair)) for pair in ((0, 1), (2, 3))]
    assert set(found["duplicate_clusters"]["labels"]) == set(joined)
    for name in sorted(found.keys() - {"design", "duplicate_clusters"}):
        assert_same_but_for_names(found[name], plain[name], back)


def test_labels_that_look_missing_are_counted(tmp_path: Path) -> None:
    # Of 24 images of each group, as many have each name: none is left out of any count.
    found = tables_of(tmp_path, ["NA", "None", "nan", "null"], ["NA", "007"])
    assert set(found["headline"]["n_images"]) == {24}
    assert set(found["conditions"]["condition"]) == {"NA", "None", "nan", "null"}
    assert set(found["pooled_conditions"]["n_conditions"]) == {4}
    assert found["adjusted"].set_index(["train_set", "adjustment"]).loc[("007", "condition"), "n_strata_all"] == 4
    assert set(found["models"]["n_images"]) == {48}


def probe_folds(names: Sequence[str], sets: Sequence[str]) -> pd.DataFrame:
    """Scores of an attribute and a disease, two runs of two training sets, three folds."""
    dataset, model, attribute, disease = names
    rows = [
        {"source": "s", "dataset": dataset, "model": model, "train_set": name, "run": run, "attribute": attribute}
        | {"target": target, "role": role, "kind": "binary", "probe": "mlp", "removal": removal, "fraction": fraction}
        | {"removed": int(8 * fraction), "draw": 0, "fold": fold, "folds": 3, "macro_f1": 0.5, "n_test": 20}
        | {"classes_scored": 2, "not_scored": ""}
        | {"auc": 0.6 + 0.1 * (role == "attribute") + 0.01 * run + 0.003 * fold * fold - 0.05 * fraction}
        for name in sets
        for run in range(2)
        for fold in range(3)
        for target, role in ((attribute, "attribute"), (disease, "disease"))
        for removal, fraction in (("none", 0.0), ("top", 0.5), ("random", 0.5))
    ]
    return pd.DataFrame(rows)


def probe_tables(folder: Path, names: Sequence[str], sets: Sequence[str]) -> dict[str, pd.DataFrame]:
    write_csv(probe_folds(names, sets), folder / "folds.csv")
    folds = read_table(folder / "folds.csv")
    ratios = {("s", name): 0.3 for name in sets}
    key = {"source": "s", "dataset": names[0], "model": names[1], "target": "(all)", "kind": "", "class": "(rows)"}
    rest = {"n": 60, "column": "", "cell": "", "why": ""}
    counts = pd.DataFrame([key | {"train_set": name, "run": run} | rest for name in sets for run in range(2)])
    units = contrast_units(folds, ratios)
    found = {
        "folds": folds,
        "poster": poster_table(folds, counts, [0.0, 0.5]),
        "curves": curve_table(folds, ratios, 0.05),
        "tests": contrast_table(units, 0.05),
        "sets": set_table(folds, ratios, 0.05).drop(columns="contrast"),
        "claims": probe_claims(units, [], 0.01, 0.05, 2),
    }
    images_too = {"metadata", "images"}
    for name, table in found.items():
        (write_image_table if name in images_too else write_csv)(table, folder / f"{name}.csv")
    return {name: (read_image_table if name in images_too else read_table)(folder / f"{name}.csv") for name in found}


@few
@given(several, st.lists(train_set, min_size=2, max_size=2, unique=True).map(sorted))
def test_names_of_probes_decide_on_nothing(
    tmp_path_factory: pytest.TempPathFactory, labels: list[str], sets: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("probes")
    printable = [name for name in labels if name.encode("utf-8", "ignore").decode() == name]
    labels = [*printable, *PLAIN][:4]
    found, expected = probe_tables(folder, labels, sets), probe_tables(folder, PLAIN, SETS)
    sentences = found.pop("claims")
    assert sentences["verdict"].tolist() == expected.pop("claims")["verdict"].tolist()
    of_set, of_label = dict(zip(sets, SETS, strict=True)), dict(zip(labels, PLAIN, strict=True))
    back = dict.fromkeys(["train_set", "other_set", "Training set"], of_set)
    back |= dict.fromkeys(["dataset", "model", "attribute", "other_attribute", "target"], of_label)
    back |= dict.fromkeys(["Dataset", "Model", "Attribute"], of_label)
    back["Task"] = of_label | {f"{name}*": f"{other}*" for name, other in of_label.items()}
    for name, table in found.items():
        assert_same_but_for_names(table, expected[name], back)


def test_a_class_may_be_called_what_it_likes(tmp_path: Path) -> None:
    classes = ["NA", "None", "1.0"]
    table = pd.DataFrame({"label": [*classes * 2, ""]})
    target = read_target(table, TargetSpec("null", "multiclass", ("label",)), "s")
    counts = pd.DataFrame([{"target": target.name, "class": name, "n": n} for name, n in count_classes(target)])
    write_csv(counts, tmp_path / "counts.csv")
    read = read_table(tmp_path / "counts.csv")
    assert dict(zip(read["class"], read["n"], strict=True)) == dict.fromkeys(classes, 2) | {"(missing)": 1}
    assert set(read["target"]) == {"null"}
