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
from evenhand.report.comparison import comparison_table, differing, not_comparable, read_study
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
