"""Studies side by side: every claim in every study, what they differ in, and what speaks against comparing them."""

import copy
import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from test_report import EVIL, claims, config

import compare_studies
from evenhand.report.comparison import comparison_table, differing, models_table, not_comparable, read_study
from evenhand.workflow.errors import UserError


def finished(
    folder: Path, change: Callable[[dict], object] = lambda _: None, images: str = "a", synthetic: bool = False
) -> Path:
    """A finished study, its configuration changed; `images` stands for the sum of its photographs."""
    settings = copy.deepcopy(config())
    settings["study"] = folder.name
    change(settings)
    for part in ("data", "tables", "settings"):
        (folder / part).mkdir(parents=True)
    (folder / "data" / "images.json").write_text(json.dumps({"synthetic": synthetic}))
    (folder / "settings" / "study.json").write_text(json.dumps(settings))
    sums = {"data/metadata.csv": "m", "data/images.npy": images}
    record = {"files": sums} | {part: {} for part in ("study", "config", "code", "versions", "machine")}
    (folder / "provenance.json").write_text(json.dumps(record))
    claims().to_csv(folder / "tables" / "claims.csv", index=False)
    return folder


def more_runs(settings: dict) -> None:
    settings["splits"]["runs"] = 3


def test_every_claim_of_every_study_stands_in_the_table_and_on_the_page(tmp_path: Path) -> None:
    first, second = finished(tmp_path / "paper"), finished(tmp_path / "few", more_runs)
    other = claims().assign(claim=["C10", "C1"], verdict="inconclusive", estimate=[7.0, 8.0], n=3)
    other.to_csv(second / "tables" / "claims.csv", index=False)
    compare_studies.main([str(first), str(second), "--output", str(tmp_path / "comparison.html")])
    table = pd.read_csv(tmp_path / "comparison.csv", na_values=[""], keep_default_na=False)
    assert table[["claim", "study"]].to_numpy().tolist() == [
        *(["C1", "paper"], ["C1", "few"], ["C9", "paper"], ["C10", "few"])
    ]
    assert table["estimate"].tolist()[1] == 8.0
    page = (tmp_path / "comparison.html").read_text()
    texts: list[str] = []
    parser = HTMLParser()
    parser.handle_data = texts.append  # type: ignore[method-assign]
    parser.feed(page)
    words = " ".join(" ".join(texts).split())
    assert "C1 Dark is worse supported" in words
    assert "0.01235; 0.01 to 0.02 (90 %); n = 10 " in words
    assert words.count("not a claim of this study") == 2
    assert "splits.runs 10 3" in words
    assert "1 setting of the configuration differs" in words
    assert page.count('<svg class="interval"') == 2  # of the claims that have one
    assert "http" not in page.replace("http-equiv", "")


def test_what_studies_differ_in(tmp_path: Path) -> None:
    def other(settings: dict) -> None:
        more_runs(settings)
        settings["data"]["columns"] = {"id": EVIL}

    studies = [read_study(finished(tmp_path / "a")), read_study(finished(tmp_path / "b", other))]
    assert differing(studies) == {
        "splits.runs": ["10", "3"],
        "data.columns": ["{}", "\u2013"],
        "data.columns.id": ["\u2013", EVIL],
    }
    compare_studies.main([*(str(tmp_path / name) for name in "ab"), "--output", str(tmp_path / "x.html")])
    assert EVIL not in (tmp_path / "x.html").read_text()
    assert comparison_table(studies)["study"].tolist() == ["a", "b"] * 2


def test_what_speaks_against_comparing(tmp_path: Path) -> None:
    def rules(settings: dict) -> None:
        settings["stats"]["alpha"] = 0.1

    def small(settings: dict) -> None:
        settings["data"]["image_size"] = 32

    base = read_study(finished(tmp_path / "base"))
    alike = not_comparable([base, read_study(finished(tmp_path / "runs", more_runs))])
    assert len(alike) == 1
    assert "not independent of one another" in alike[0]
    for name, expected, study in (
        ("rules", "Rules of the verdicts differ (stats)", finished(tmp_path / "rules", rules)),
        ("small", "errors are not on one scale", finished(tmp_path / "small", small)),
        ("data", "packed photographs are not the same", finished(tmp_path / "data", images="b")),
        ("made", "Synthetic data (made) stand beside measured ones", finished(tmp_path / "made", synthetic=True)),
    ):
        found = not_comparable([base, read_study(study)])
        assert any(expected in text for text in found), name
    (tmp_path / "rules" / "provenance.json").unlink()
    assert "no record in rules" in " ".join(not_comparable([base, read_study(tmp_path / "rules")]))


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    one = finished(tmp_path / "one")
    for arguments in ([one], [one, one]):
        with pytest.raises(UserError, match="two or more different studies, found one"):
            compare_studies.main([*map(str, arguments), "--output", str(tmp_path / "x.html")])
    with pytest.raises(UserError, match=r"two/tables/claims\.csv of a finished study, found none.* there: one\."):
        compare_studies.main([str(one), str(tmp_path / "two"), "--output", str(tmp_path / "x.html")])


def test_models_of_several_families_have_a_row_each(tmp_path: Path) -> None:
    for name, family, ratio in (("one", "vae", 1.5), ("two", "diffusion", 1.25)):

        def change(settings: dict, family: str = family) -> None:
            settings["model"]["family"] = family

        folder = finished(tmp_path / name, change)
        # What is shown is the mean squared error of the second group under equal shares, and nothing beside it.
        rows = pd.DataFrame(
            [
                {
                    "train_set": train_set,
                    "compared_share": share,
                    "compared": compared,
                    "metric": metric,
                    "ratio": found,
                }
                for train_set, share, compared, metric, found in (
                    *(("A", 0.0, "dark", "mse", 9.0), ("B", 0.5, "other", "mse", 9.0)),
                    *(("B", 0.5, "dark", "psnr", 9.0), ("B", 0.5, "dark", "mse", ratio)),
                )
            ]
        ).assign(mean_reference=0.01, ratio_low=1.125, ratio_high=2.0, n_runs=3, n_test=50)
        rows.to_csv(folder / "tables" / "gaps.csv", index=False)
        if name == "one":
            rows.to_csv(folder / "tables" / "equivalents.csv", index=False)
        codec = rows[rows["metric"] == "mse"].drop(columns="metric").rename(columns=lambda name: f"codec_{name}")
        codec = codec.rename(columns={f"codec_{name}": name for name in ("train_set", "compared_share", "compared")})
        codec.to_csv(folder / "tables" / "codec.csv", index=False)
        splits = json.loads((folder / "settings" / "study.json").read_text())["splits"]
        models = [(of["name"], run) for of in splits["train_sets"] for run in range(splits["runs"])]
        # Another design may have been made here before, of more runs.
        for number, (train_set, run) in enumerate([*models, ("B", splits["runs"])]):
            record = folder / "runs" / train_set / f"run{run}" / "run.json"
            record.parent.mkdir(parents=True)
            seconds = 1e6 if number == len(models) else 20.0 if number % 2 else 10.0
            record.write_text(json.dumps({"parameters": 1234, "seconds": seconds}))
    studies = [read_study(tmp_path / name) for name in ("one", "two")]
    table = models_table(studies).set_index("study")
    assert table["model"].tolist() == ["vae", "diffusion"]
    assert table["train_set"].tolist() == ["B", "B"]
    assert table["ratio"].tolist() == table["codec_ratio"].tolist() == [1.5, 1.25]
    assert table["equivalent_ratio"].fillna(0).tolist() == [1.5, 0]  # the second has no ruler
    assert table[["parameters", "seconds", "claims"]].to_numpy().tolist() == [[1234, 15.0, "C1 supported"]] * 2

    compare_studies.main([*(str(tmp_path / name) for name in ("one", "two")), "--output", str(tmp_path / "x.html")])
    page = (tmp_path / "x.html").read_text()
    assert "1.25 (1.12 to 2.00)" in page
    assert "3 runs of 50 test images a group" in page
    assert "1,234 parameters; 15 s a training" in page
    assert (tmp_path / "x_models.csv").read_text().count("\n") == 3
    # Of one family there is nothing to compare; a model without numbers is not left out.
    assert models_table(studies[:1]).empty
    (tmp_path / "two" / "tables" / "gaps.csv").unlink()
    with pytest.raises(UserError, match=r"tables/gaps.csv of the study two, found none"):
        models_table([studies[0], read_study(tmp_path / "two")])
