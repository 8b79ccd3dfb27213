"""The report: everything is in it, nothing is loaded from elsewhere, nothing that was typed can become markup."""

import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.request import urlopen

import pandas as pd
import pytest
import yaml
from drawing import PAPER, THREE

import make_report
from evenhand.report.claims import C2_IN_WORDS, PLOT_WIDTH, answer, interval_plot, number, p_value
from evenhand.report.conditions import Availability
from evenhand.report.methods import cited, methods
from evenhand.report.page import FigureItem, build_report, describe_table, display_width
from evenhand.splits.groups import Pair, groups_from
from evenhand.workflow.errors import UserError

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "workflow_scripts" / "evenhand" / "report" / "templates" / "report.html.j2"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="403.2pt" height="200pt"><g id="axes_1"/></svg>'
EVIL = "<script>alert('x')</script>"


class Page(HTMLParser):
    """What a reader of the page meets: tags with attributes, ids, and text outside style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def attribute(self, name: str) -> list[str]:
        return [value for _, attributes in self.tags if (value := attributes.get(name)) is not None]

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def config(patient_images: bool = True, entries: Sequence[dict] = PAPER, skin: bool = True) -> dict:
    loaded = yaml.safe_load((ROOT / "config.yaml").read_text())
    loaded["report"]["patient_images"] = patient_images
    loaded["splits"] |= {"groups": [*entries], "train_sets": [{"name": "A", "mix": {entries[0]["name"]: 1.0}}]}
    loaded["data"]["skin"] = skin
    return loaded


def claims() -> pd.DataFrame:
    base = {
        "estimate": 0.0123456,
        "ci_low": 0.01,
        "ci_high": 0.02,
        "level": 0.9,
        "null_value": 0.0,
        "margin": 0.005,
        "test": "paired t",
        "p": 1e-9,
        "p_holm": 0.04,
        "survives": True,
        "n": 10,
        "detectable": 0.01,
        "runs_needed": float("nan"),
        "images_needed": float("nan"),
        "sentence": "A sentence.",
        "rule": "supported: p small",
        "table": "conditions",
        "figure": "mse_boxes",
        "statement": "Dark is worse",
        "source": "v2 4.1",
    }
    empty = dict.fromkeys(
        ("estimate", "ci_low", "ci_high", "null_value", "margin", "level", "p", "p_holm"), float("nan")
    )
    return pd.DataFrame(
        [
            base | {"claim": "C1", "verdict": "supported"},
            base
            | empty
            | {"claim": "C9", "verdict": "not testable", "survives": False, "figure": "absent", "sentence": EVIL},
        ]
    )


def record(**changes: object) -> dict:
    return {
        "train_set": "A",
        "run": 0,
        "parameters": 1000,
        "device": "cpu",
        "device_name": "x86_64",
        "precision": "fp32",
        "seconds": 12.4,
        "images_per_second": 50.0,
        "peak_memory_mb": 700.0,
        "versions": {"torch": "2.13"},
    } | changes


def design(drawn: int = 1668) -> pd.DataFrame:
    row = {"train_set": "A", "compared_share": 0.0, "requested": 1668, "planned": 1668, "drawn": drawn}
    return pd.DataFrame([row | {"mix": f"{drawn} of the reference", "distinct": drawn, "n_runs": 10}])


def tables(rows: int = 2) -> list:
    frame = pd.DataFrame({"condition": [EVIL] * rows, "mse": [0.05] * rows})
    dictionary = {
        "conditions": {"$about": "About conditions.", "condition": None, "mse": "Error."},
        "$common": {"condition": "Condition."},
    }
    return [describe_table("conditions", frame.to_csv(index=False).encode(), frame, dictionary)]


def data_tables() -> list:
    frame = pd.DataFrame({"item": ["photographs found"], "value": ["4321"]})
    dictionary = {"dataset_card": {"$about": "The data set in numbers.", "item": "What is counted.", "value": "Value."}}
    return [describe_table("dataset_card", frame.to_csv(index=False).encode(), frame, dictionary)]


def figures() -> list[FigureItem]:
    return [
        FigureItem("mse_boxes", SVG, "Error", "A caption with n = 10.", "Alternative text", False),
        FigureItem("reconstructions_light", SVG, "Pictures", "Photographs here.", EVIL, True),
    ]


def report(synthetic: bool = False, patient_images: bool = True, rows: int = 2) -> str:
    availability = [Availability("light skin", 7755, 7000, {"missing": 755}), Availability("", 9, 9, {})]
    return build_report(
        *(TEMPLATE, config(patient_images), synthetic, claims(), figures(), tables(rows), data_tables(), design()),
        availability,
        ["All images are from one source"],
        [record(), record(run=1)],
        {"code": "a1b2c3", "photographs": "d4e5f6"},
    )


def test_everything_is_there() -> None:
    page = report()
    read = Page(page)
    text = " ".join(read.text)
    for expected in (
        *(
            "C1",
            "C9",
            "A sentence.",
            "Dark is worse",
            "supported: p small",
            "paired t",
            "0.01235",
            "0.01 to 0.02 (90 %)",
        ),
        *(
            "< 0.0001",
            "0.04",
            "A caption with n = 10.",
            "About conditions.",
            "Condition.",
            "Error.",
            "7,755",
            "missing: 755",
        ),
        *("x86_64 (cpu)", "torch 2.13", "kl_scale: 1.0", "figure 3", "CC BY-NC-SA"),
        *("photographs found", "4321", "1668 of the reference", "Share of dark"),
    ):
        assert expected in text, expected
    assert read.count("img") == 2
    ids = read.attribute("id")
    assert len(ids) == len(set(ids))
    internal = [link[1:] for link in read.attribute("href") if link.startswith("#")]
    assert set(internal) <= set(ids)
    assert {"figure-mse_boxes", "table-conditions"} <= set(internal)  # the claim points at its evidence
    assert "Synthetic" not in text


def test_the_picture_of_an_interval_is_to_scale() -> None:
    row = claims().to_dict("records")[0] | {"estimate": 2.0, "ci_low": 1.0, "ci_high": 3.0, "margin": 1.0}
    plot = interval_plot(row)
    assert plot is not None
    unit = plot["high"] - plot["estimate"]
    assert plot["estimate"] - plot["low"] == plot["low"] - plot["null"] == pytest.approx(unit, abs=0.11)
    left, width = plot["margin"]
    assert (left, left + width) == pytest.approx((plot["null"] - unit, plot["null"] + unit), abs=0.3)
    assert min(left, *(plot[key] for key in ("low", "null"))) >= 0
    assert plot["high"] <= PLOT_WIDTH
    assert plot["words"] == "2, 90 % interval 1 to 3; tested against 0; no relevant difference within 1 of 0"
    assert interval_plot(claims().to_dict("records")[1]) is None
    alike = interval_plot(row | dict.fromkeys(("estimate", "ci_low", "ci_high"), 0.0) | {"margin": float("nan")})
    assert alike is not None
    assert alike["low"] == alike["high"] == alike["null"]


def gap_rows(ratios: Sequence[float], half: float = 0.1, p_tost: float = 0.9) -> pd.DataFrame:
    rows = pd.DataFrame({"train_set": list("ABC"), "compared_share": [0, 0.5, 1], "ratio": ratios})
    rows = rows.assign(gap=rows["ratio"] - 1)  # of a reference of 1
    rows = rows.assign(ci_low=rows["gap"] - half, ci_high=rows["gap"] + half)
    return rows.assign(metric="mse", compared="dark", n_runs=10, n_test=500, p_tost=p_tost)


def test_the_answer_is_made_from_the_numbers() -> None:
    pair = Pair("light", "dark")
    text = answer(claims(), gap_rows([13.9, 1.5, 0.8]), pair, 0.05)
    assert text == (
        "Trained on equal shares of both groups (B), models reconstruct dark images with 1.50 times the error of light "
        "ones (gap 0.5, 95 % interval 0.4 to 0.6; 10 runs of 500 test images a group): a higher error. The ratio is "
        "13.9 under A (0 % dark, gap 13, 13 to 13) and 0.80 under C (100 % dark, gap -0.2, -0.3 to -0.1); of 2 claims, "
        "1 supported and 1 not testable."
    )
    assert "): a lower error." in answer(claims(), gap_rows([1, 0.8, 1]), pair, 0.05)
    assert "): a difference is not established." in answer(claims(), gap_rows([1, 1.05, 1]), pair, 0.05)
    assert "): no relevant difference." in answer(claims(), gap_rows([1, 1.05, 1], p_tost=0.01), pair, 0.05)
    # An established difference is said even where it is small enough to be called irrelevant.
    assert "): a higher error." in answer(claims(), gap_rows([1, 1.05, 1], 0.01, 0.01), pair, 0.05)
    unbalanced = answer(claims(), gap_rows([1.2, 1.1, 1]).iloc[[0, 2]], pair, 0.05)
    assert unbalanced.startswith("Trained on A (0 % dark), models")
    assert "The ratio is 1.00 under C (100 % dark, gap 0, -0.1 to 0.1);" in unbalanced
    of_one_run = answer(claims(), gap_rows([1.2, 1.1, 1], float("nan")), pair, 0.05)
    assert "light ones (gap 0.1; 10 runs of 500 test images a group): a difference is not established." in of_one_run
    # Where C2 is judged, its verdict is the answer, whatever an interval says.
    for verdict, words in C2_IN_WORDS.items():
        judged = claims().replace({"claim": {"C1": "C2"}}).assign(verdict=verdict)
        assert f"): {words}." in answer(judged, gap_rows([1, 1.5, 1]), pair, 0.05)
    assert answer(claims(), None, pair, 0.05) == (
        "Dark is worse: supported (0.01235, 0.01 to 0.02). Of 2 claims, 1 supported and 1 not testable."
    )


def test_an_inconclusive_claim_shows_what_would_decide_it() -> None:
    changes = {"verdict": "inconclusive", "survives": False, "runs_needed": 14.0, "images_needed": 2.5}
    page = build_report(
        *(TEMPLATE, config(), False, claims().assign(**changes).head(1), [], tables(), [], design(), [], []),
        *([record()], {}),
    )
    summary = page[page.index("<summary>", page.index('id="claim-C1"')) : page.index("</summary>")]
    assert "To decide it would take 14 runs or test sets 2.5 times as large" in summary


def test_nothing_is_loaded_from_elsewhere() -> None:
    page = report()
    read = Page(page)
    loading = [*read.attribute("src"), *read.attribute("href"), *read.attribute("srcset"), *read.attribute("action")]
    assert all(link.startswith(("#", "data:")) for link in loading)
    assert read.count("link") == read.count("iframe") == 0
    assert [attributes for tag, attributes in read.tags if tag == "script"] == [{}]  # the page's own, inline
    assert not re.search(r"@import|url\(", page)


def test_what_was_typed_is_text() -> None:
    page = report()
    assert page.count("<script") == 1  # the page's own
    assert "&lt;script&gt;" in page
    assert EVIL in Page(page).attribute("alt")


def test_no_picture_of_a_patient_on_request() -> None:
    page = report(patient_images=False)
    assert Page(page).count("img") == 1
    assert "Photographs here." not in page
    assert "Pictures of patients are left out" in page
    assert "Pictures of patients are left out" not in report()


def test_synthetic_data_are_called_so() -> None:
    page = report(synthetic=True)
    title = re.search("<title>(.*?)</title>", page)
    assert title is not None
    assert "synthetic" in title[1]
    assert "Nothing on this page says anything about patients" in page
    assert "photographs of patients" not in page


def test_it_can_be_read_by_all() -> None:
    read = Page(report())
    assert ("html", {"lang": "en"}) in read.tags
    levels = [int(tag[1]) for tag, _ in read.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert read.count("caption") == read.count("table")
    assert all("scope" in attributes for tag, attributes in read.tags if tag == "th")
    assert all(attributes.get("alt") for tag, attributes in read.tags if tag == "img")
    assert any(attributes.get("name") == "viewport" for tag, attributes in read.tags if tag == "meta")


def contrast(colour: str, background: str) -> float:
    """WCAG 2 contrast ratio of two colours given as #rrggbb."""

    def luminance(text: str) -> float:
        parts = [int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted([luminance(colour), luminance(background)], reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast() -> None:
    style = TEMPLATE.with_name("parts.html.j2").read_text()
    for name in ("ink", "soft", "link"):
        colour = re.search(rf"--{name}: (#[0-9a-f]{{6}})", style)
        assert colour is not None
        assert contrast(colour[1], "#f5f7f9") >= 4.5
    for verdict in ("supported", "contradicted", "inconclusive"):
        colour = re.search(rf"\.{verdict} {{ background: (#[0-9a-f]{{6}})", style)
        assert colour is not None
        assert contrast("#ffffff", colour[1]) >= 4.5


def test_the_download_is_the_file_and_long_tables_are_cut() -> None:
    read = Page(report(rows=450))
    links = [attributes for tag, attributes in read.tags if tag == "a" and "download" in attributes]
    assert [link["download"] for link in links] == ["conditions.csv", "dataset_card.csv"]
    content = urlopen(str(links[0]["href"])).read().decode()
    assert content.count("\n") == 451
    assert sum(text == EVIL for text in read.text) == 200 + 1  # one is what a claim says
    assert "450 rows, the first 200 shown" in " ".join(read.text)


def test_the_methods_are_those_of_the_configuration() -> None:
    settings = config(entries=PAPER)
    settings["data"]["image_size"], settings["train"]["epochs"] = 96, 7
    groups = groups_from(PAPER)
    text = methods(
        settings, False, groups, design(drawn=1500), [record(), record(precision="bf16")], {"torch": "2"}, {}
    )
    for expected in (
        *(
            "resized to 96 px",
            "grouped into light skin (FST 1\u20132) and dark skin (FST 5\u20136)",
            "In each of 10 runs",
        ),
        *("500 images of each group", "1 training sets of 1,500 images drawn without replacement", "A (0 % dark)"),
        *(
            "trained for 7 epochs",
            "bf16 and fp32",
            "1,000 parameters",
            "margins of 5 % of the reference mean",
            "torch 2.",
        ),
    ):
        assert expected in text, expected
    keys = re.findall(r"\[([a-z]+\d*)\]", text)
    entries = re.findall(r"^@\w+\{(\w+),", cited(text), re.MULTILINE)
    assert entries == sorted(keys)  # each cited once, and nothing else
    assert cited(text).count("{") == cited(text).count("}")
    assert "LPIPS" not in text
    settings["loss"]["feature_scale"] = 0.0
    settings["splits"]["replacement"] = True
    settings["evaluate"]["lpips"] = "weights/lpips.pth"
    other = methods(settings, True, groups, design(), [record()], {}, {"code": "a1b2"})
    assert "mean squared distance of VGG19" not in other
    assert "held-out ones of each group" in other
    assert "features of VGG19 [simonyan2015]." in other
    assert "LPIPS [zhang2018], by the weights in lpips.pth." in other
    assert "@inproceedings{zhang2018," in cited(other)
    assert "Synthetic images" in other
    assert "drawn with replacement" in other
    assert other.endswith("code a1b2.")


def test_no_word_about_skin_where_there_is_none() -> None:
    """Texts of the page itself; claims, figures and tables bring their own."""
    for synthetic in (False, True):
        page = build_report(
            *(TEMPLATE, config(False, THREE, False), synthetic, claims().head(1).assign(statement="Men are worse")),
            *([], [], [], design(), [], []),
            *([record()], {}),
        )
        # The configuration is printed as it is, with the keys it has, and what the methods cite has its title.
        text = "".join(Page(page[: page.index('id="methods"')]).text)
        text = re.sub(r":root.*?@media print[^\n]*", "", text, flags=re.DOTALL)  # the style of the page
        found = re.search("light|dark|skin|dermat|fitz", text, re.IGNORECASE)
        assert found is None, text[found.start() - 60 : found.end() + 60]
        assert "women of any age, men of any age and people of unknown sex" in text
        assert "Share of men" in text
        assert "figures 1, 4 and 5 of the paper are missing" in text
    settings = config(False, THREE, False)
    settings["data"]["dataset"] = None
    text = methods(settings, False, groups_from(THREE), design(), [record()], {}, {})
    assert not re.search("light|dark|skin|dermat|fitz", text, re.IGNORECASE)


def test_equal_inputs_give_equal_pages() -> None:
    assert report() == report()


def test_tables_without_description_are_refused() -> None:
    frame = pd.DataFrame({"mse": [1.0]})
    with pytest.raises(UserError, match=r"table gaps.*\$about, mse"):
        describe_table("gaps", b"", frame, {"$common": {}})


def test_numbers_as_text() -> None:
    dash = "–"  # noqa: RUF001
    assert [number(v) for v in (0.0123456, 1668, 5.0, float("nan"), None, "a", True)] == [
        *("0.01235", "1,668", "5", dash, dash, "a", "True")
    ]
    assert [p_value(v) for v in (0.0449, 1e-5, float("nan"), 1.0)] == ["0.045", "< 0.0001", dash, "1"]
    assert display_width(SVG) == round(403.2 * 4 / 3 * 1.3)
    with pytest.raises(UserError, match="width in points"):
        display_width(b"<svg/>")


def test_the_script_reads_its_files(tmp_path: Path) -> None:
    (tmp_path / "images.json").write_text('{"synthetic": true}')
    names = {"condition": ["Acne", "acne"], "condition_2": "NA", "condition_3": "NA"}
    rows = pd.DataFrame({"skin_type": [1, 5], "status": ["ok", "ok"], **names})
    rows = rows.assign(second_skin_type=-1, source="unknown")
    rows.to_csv(tmp_path / "availability.csv", index=False)
    claims().head(1).to_csv(tmp_path / "claims.csv", index=False)
    claims().tail(1).assign(claim="P1").to_csv(tmp_path / "probe_claims.csv", index=False)
    design().to_csv(tmp_path / "design.csv", index=False)
    pd.DataFrame({"skin_type": [1], "group": ["light"], "n": [3]}).to_csv(tmp_path / "fst_counts.csv", index=False)
    (tmp_path / "mse_boxes.svg").write_bytes(SVG)
    words = {"title": "t", "caption": "c", "alt": "a", "pictures": False}
    (tmp_path / "mse_boxes.json").write_text(json.dumps(words))
    for run in range(2):
        (tmp_path / "A" / f"run{run}").mkdir(parents=True)
        (tmp_path / "A" / f"run{run}" / "run.json").write_text(json.dumps(record(run=run)))
    parts = {part: {} for part in ("study", "config", "files", "versions", "machine")}
    code = {"revision": "a1b2c3", "modified": True, "scripts_sha256": "e5f6" * 16}
    (tmp_path / "provenance.json").write_text(json.dumps(parts | {"code": code}))
    files = {
        "record": "images.json",
        "provenance": "provenance.json",
        "availability": "availability.csv",
        "design": "design.csv",
        "figures": "mse_boxes.svg",
        "tables": "fst_counts.csv",
        "models": "",
        "output": "report.html",
    }
    options = [part for name, file in files.items() for part in (f"--{name}", str(tmp_path / file))]
    options += ["--claims", str(tmp_path / "claims.csv"), str(tmp_path / "probe_claims.csv")]
    options += ["--template", str(TEMPLATE), "--dictionary", str(ROOT / "schemas" / "tables.yaml")]
    settings = config()
    settings["splits"]["runs"] = 2
    (tmp_path / "study.json").write_text(json.dumps(settings))
    options += ["--settings", str(tmp_path / "study.json")]
    make_report.main(options)
    page = (tmp_path / "report.html").read_text()
    assert 'id="table-fst_counts"' in page
    assert "code a1b2c3, modified since" in page
    assert page.index('id="claim-C1"') < page.index('id="claim-P1"')
    assert "differ in case or blanks alone are counted apart: &#39;Acne&#39;, &#39;acne&#39;." in page
    assert "Nothing on this page says anything about patients" in page
