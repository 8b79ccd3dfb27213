"""The report of a finished study in a real browser: headless Chromium, from disk, with the network off."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pandas as pd
import pytest
from PIL import Image

import compare_studies
from evenhand.report.claims import number
from evenhand.report.comparison import read_study
from evenhand.report.multiverse import Multiverse, variants_of, write_multiverse
from evenhand.report.page import MAX_ROWS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

sync_api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; on Debian: apt-get install chromium"),
]
OPTIONS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
DASH = number(None)
MULTIVERSE_PAGE = Path(__file__).parents[1] / "workflow_scripts/evenhand/report/templates/multiverse.html.j2"
AXE = Path(__file__).parent / "browser"
PATIENCE = 300_000  # milliseconds, for machines that do other things as well


@dataclass
class Reader:
    """An open report, and what the browser asked for and complained about since it was opened."""

    page: "Page"
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def unfold(self) -> None:
        """Open every part of the page that can be opened."""
        self.page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Browser"]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS, timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture
def results(finished: Path) -> Path:
    return finished / "results" / "tiny"


@pytest.fixture(params=[DESKTOP], ids=["desktop"])
def reader(chromium: "Browser", results: Path, request: pytest.FixtureRequest) -> Iterator[Reader]:
    context = chromium.new_context(viewport=request.param, offline=True, accept_downloads=True)
    context.set_default_timeout(PATIENCE)
    read = Reader(context.new_page())
    read.page.on("request", lambda request: read.requests.append(request.url))
    read.page.on("console", lambda message: read.complaints.append(message.text))
    read.page.on("pageerror", lambda error: read.complaints.append(str(error)))
    read.page.goto((results / "report.html").as_uri())
    yield read
    context.close()


both_sizes = pytest.mark.parametrize("reader", [DESKTOP, PHONE], ids=["desktop", "phone"], indirect=True)


def column(page: "Page", table: str, position: int) -> list[str]:
    """The texts of one column of a table, as shown."""
    cells = page.locator(f"#table-{table} tbody tr td:nth-child({position + 1})")
    return [text.strip() for text in cells.all_text_contents()]


@both_sizes
def test_it_opens_from_disk_without_network_or_complaint(reader: Reader, results: Path) -> None:
    reader.unfold()
    assert [url for url in reader.requests if not url.startswith("data:")] == [(results / "report.html").as_uri()]
    assert reader.complaints == []


def test_the_page_may_not_load_anything(reader: Reader) -> None:
    # Not only does it ask for nothing: what slipped in would be refused by the page's own policy.
    reader.page.evaluate("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}))")
    reader.page.locator("img").last.evaluate("(image) => image.decode().catch(() => {})")
    assert any("Content Security Policy" in text for text in reader.complaints)
    assert reader.page.evaluate("document.images[document.images.length - 1].naturalWidth") == 0


def test_answer_and_claims_are_the_first_thing_seen(reader: Reader) -> None:
    first = reader.page.locator("h2").first
    assert first.inner_text() == "Claims"
    for part in (
        *(first, reader.page.locator(".answer"), reader.page.locator(".counts")),
        reader.page.locator(".claims .verdict").first,
    ):
        box = part.bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= DESKTOP["height"]


@pytest.mark.parametrize("reader", [PHONE], ids=["phone"], indirect=True)
def test_answer_and_verdicts_are_on_the_first_screen_of_a_phone(reader: Reader) -> None:
    for part in (".answer", ".counts"):
        box = reader.page.locator(part).bounding_box()
        assert box["y"] + box["height"] <= PHONE["height"]
    # The letters of the one picture are at least as large as drawn: 8 pt.
    shrunk = "(image) => image.getBoundingClientRect().width / image.naturalWidth"
    assert reader.page.locator("#figure-overview img").evaluate(shrunk) > 0.8


@both_sizes
def test_each_figure_renders(reader: Reader, results: Path) -> None:
    figures = reader.page.locator("figure")
    assert figures.count() == len(list((results / "figures").glob("*.svg")))
    for index in range(figures.count()):
        image = figures.nth(index).locator("img")
        name = figures.nth(index).get_attribute("id")
        assert image.evaluate("async (image) => { await image.decode(); return image.naturalWidth; }") > 100, name
        assert image.bounding_box()["height"] > 50, name
        pixels = Image.open(BytesIO(image.screenshot())).convert("RGB")
        assert len(pixels.getcolors(1 << 24)) > 10, f"{name} is blank"


def test_figures_say_in_words_what_they_show(reader: Reader, results: Path) -> None:
    # The numbers of the alternative text are those of the tables, not only some digits.
    alt = {
        figure.get_attribute("id").removeprefix("figure-"): figure.locator("img").get_attribute("alt")
        for figure in reader.page.locator("figure").all()
    }
    for name, text in alt.items():
        assert len(re.findall(r"\d[\d,.]*", text)) >= 2, f"{name}: {text}"
        assert "synthetic" in text.lower(), name
    runs = pd.read_csv(results / "tables" / "runs.csv")
    for metric in ("mse", "latent_std"):
        for mean in runs.groupby(["train_set", "group"])[metric].mean():
            assert f"{mean:.4g}" in alt[f"{metric}_boxes"], alt[f"{metric}_boxes"]
    for count in pd.read_csv(results / "tables" / "fst_counts.csv")["n"]:
        assert f"{count:,}" in alt["fst_counts"]
    gaps = pd.read_csv(results / "tables" / "gaps.csv")
    for gap in gaps.loc[gaps["metric"] == "mse", "gap"]:
        assert f"{gap:+.3g}" in alt["gaps"], alt["gaps"]


def test_a_click_sorts_a_table_and_a_second_one_turns_it_round(reader: Reader, results: Path) -> None:
    frame = pd.read_csv(results / "tables" / "runs.csv")
    position = frame.columns.get_loc("mse")
    reader.unfold()
    header = reader.page.locator("#table-runs thead th").nth(position)
    shown = [number(value) for value in frame["mse"]]
    assert column(reader.page, "runs", position) == shown
    assert header.get_attribute("aria-sort") is None
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    rising = [number(value) for value in sorted(frame["mse"])]
    assert rising != shown
    assert column(reader.page, "runs", position) == rising
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert column(reader.page, "runs", position) == rising[::-1]
    # The rows stay whole: what stood beside a number still does.
    pairs = list(zip(column(reader.page, "runs", 0), column(reader.page, "runs", position), strict=True))
    assert sorted(pairs) == sorted(zip(map(number, frame.iloc[:, 0]), shown, strict=True))


def test_numbers_sort_as_numbers_and_cells_without_one_come_last(reader: Reader) -> None:
    # Counts from 1 to past 1,000 and signs sort otherwise as text; a dash is no number.
    reader.page.evaluate("""() => {
        const texts = ["1,668", "\u2013", "968", "-0.5", "1e-05", "< 0.0001"];
        const cells = texts.map((text) => `<tr><td>${text}</td></tr>`);
        document.querySelector("#table-runs table tbody").innerHTML = cells.join("");
    }""")
    numeric = reader.page.locator("#table-runs thead th").first
    numeric.evaluate("(header) => header.classList.add('number')")
    reader.unfold()
    for expected in (
        ["-0.5", "1e-05", "< 0.0001", "968", "1,668", DASH],
        ["1,668", "968", "< 0.0001", "1e-05", "-0.5", DASH],
    ):
        numeric.get_by_role("button").click()
        assert column(reader.page, "runs", 0) == expected


def test_tables_sort_by_keyboard(reader: Reader, results: Path) -> None:
    frame = pd.read_csv(results / "tables" / "fst_counts.csv")
    position = frame.columns.get_loc("n")
    reader.unfold()
    button = reader.page.locator("#table-fst_counts thead th button").nth(position)
    button.focus()
    for key, expected in (("Enter", sorted(frame["n"])), ("Space", sorted(frame["n"], reverse=True))):
        reader.page.keyboard.press(key)
        assert column(reader.page, "fst_counts", position) == [number(value) for value in expected]
    reader.page.keyboard.press("Tab")
    assert button.evaluate("(button) => document.activeElement !== button")


def test_downloads_are_the_files(reader: Reader, results: Path) -> None:
    links = reader.page.locator("a[download]").all()
    assert len(links) >= 30
    folders = {"text/csv": "tables", "application/pdf": "figures"}
    for link in links:
        name = link.get_attribute("download")
        with urlopen(link.get_attribute("href")) as found:
            assert found.read() == (results / folders[found.headers["Content-type"]] / name).read_bytes(), name


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_a_button_saves_the_figure(reader: Reader, results: Path, kind: str, tmp_path: Path) -> None:
    with reader.page.expect_download() as started:
        reader.page.locator(f"#figure-gaps button[data-save='{kind}']").click()
    assert started.value.suggested_filename == f"gaps.{kind}"
    started.value.save_as(tmp_path / "saved")
    if kind == "svg":
        assert (tmp_path / "saved").read_bytes() == (results / "figures" / "gaps.svg").read_bytes()
    else:  # drawn by the browser, as large as by matplotlib
        with Image.open(tmp_path / "saved") as saved, Image.open(results / "figures" / "gaps.png") as drawn:
            assert saved.size == pytest.approx(drawn.size, abs=3)
            assert len(saved.convert("RGB").getcolors(1 << 24)) > 10


@both_sizes
def test_a_mark_shows_its_value_to_pointer_and_keyboard(reader: Reader, results: Path) -> None:
    runs = pd.read_csv(results / "tables" / "runs.csv")
    row = runs[(runs["train_set"] == "B") & (runs["group"] == "dark") & (runs["run"] == 1)].iloc[0]
    words = f"dark, run 1: {row['mse']:.4g}; {row['n_images']:,} images"
    canvas = reader.page.locator("#figure-mse_boxes .canvas")
    marks = json.loads(canvas.get_attribute("data-marks"))
    assert len(marks) >= len(runs)
    x, y, _ = next(mark for mark in marks if mark[2] == words)
    canvas.scroll_into_view_if_needed()
    size = canvas.locator("img").bounding_box()
    value = canvas.locator(".value")
    assert value.inner_text() == ""
    canvas.hover(position={"x": x * size["width"], "y": y * size["height"]})
    assert value.inner_text() == words
    # What stands there is drawn there: the square of the dark group is blue.
    reader.page.mouse.move(0, 0)
    assert value.inner_text() == ""
    with Image.open(results / "figures" / "mse_boxes.png").convert("RGB") as drawn:
        red, _, blue = drawn.getpixel((round(x * drawn.width), round(y * drawn.height)))
        assert blue > red + 50
    region = reader.page.locator("#figure-mse_boxes .scroll")
    region.focus()
    for step in (0, 1):
        reader.page.keyboard.press("ArrowRight")
        assert value.inner_text() == marks[step][2]
    reader.page.keyboard.press("Escape")
    assert value.inner_text() == ""


@pytest.mark.parametrize("name", ["runs.csv", "pooled_conditions.csv"])
def test_a_click_downloads_the_file(reader: Reader, results: Path, name: str) -> None:
    # One click per page: Chromium asks the user, and here refuses, when a page starts several downloads at once.
    reader.unfold()
    with reader.page.expect_download() as started:
        reader.page.locator(f"a[download='{name}']").click()
    assert started.value.suggested_filename == name
    assert Path(started.value.path()).read_bytes() == (results / "tables" / name).read_bytes()


def test_a_claim_leads_to_its_table(reader: Reader) -> None:
    link = reader.page.locator("#claim-C2 a[href='#table-gaps']")
    reader.page.locator("#claim-C2 > summary").click()
    table = reader.page.locator("#table-gaps")
    table.evaluate("(part) => { part.open = false; }")
    link.click()
    reader.page.locator("#table-gaps[open]").wait_for()
    assert table.locator("table").is_visible()


def test_without_script_the_tables_are_there(chromium: "Browser", results: Path) -> None:
    context = chromium.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto((results / "report.html").as_uri())
    assert page.locator("th button").count() == 0
    frame = pd.read_csv(results / "tables" / "prevalence.csv")
    page.locator("#table-prevalence > summary").click()
    rows = page.locator("#table-prevalence tbody tr")
    assert rows.count() == min(len(frame), MAX_ROWS)
    assert rows.first.is_visible()
    context.close()


@pytest.mark.parametrize("reader", [PHONE], ids=["phone"], indirect=True)
def test_a_phone_scrolls_down_only(reader: Reader) -> None:
    width = "document.documentElement.scrollWidth"
    # A word without a place to break it, such as a sum or a path, in every paragraph.
    reader.page.evaluate("document.querySelectorAll('p, figcaption').forEach(e => e.append(' ' + 'x'.repeat(64)))")
    assert reader.page.evaluate(width) <= PHONE["width"]
    reader.unfold()
    assert reader.page.evaluate(width) <= PHONE["width"]
    # No claim is cut off: each block of text ends within the screen.
    parts = reader.page.locator(".claim :is(summary > *, p, dl):visible").all()
    assert len(parts) > 30
    for box in (part.bounding_box() for part in parts):
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]


def test_no_table_is_cut_on_paper(reader: Reader) -> None:
    paper = {"width": 700, "height": 1000}  # CSS pixels: A4 less its margins is 718 wide
    reader.page.set_viewport_size(paper)
    reader.page.emulate_media(media="print")
    reader.unfold()
    tables = reader.page.locator("table").all()
    assert len(tables) > 15
    for box in (table.bounding_box() for table in tables):
        assert box["x"] + box["width"] <= paper["width"]


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The accessibility engine axe-core, at the version and hash of tests/browser/package-lock.json."""
    if (AXE / "node_modules" / "axe-core" / "axe.min.js").is_file():
        return (AXE / "node_modules" / "axe-core" / "axe.min.js").read_text()
    folder = tmp_path_factory.mktemp("axe")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(AXE / name, folder)
    if shutil.which("npm") is None:
        pytest.skip("axe-core is not here and neither is npm to install it: apt-get install npm")
    done = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True, check=False
    )
    if "EINTEGRITY" in done.stderr:
        pytest.fail(done.stderr)
    if done.returncode:
        pytest.skip(f"axe-core cannot be installed: {done.stderr.strip()[-300:]}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


# The rows of a table are alike, and it takes a second to check the contrast of a hundred cells.
SHORTEN = "document.querySelectorAll('tbody tr:nth-child(n + 4)').forEach((row) => row.remove())"


@both_sizes
def test_no_serious_finding_of_accessibility(reader: Reader, axe: str) -> None:
    reader.unfold()
    reader.page.evaluate(SHORTEN)
    reader.page.evaluate(axe)
    found = reader.page.evaluate("axe.run()")
    assert len(found["passes"]) > 20
    serious = [entry for entry in found["violations"] if entry["impact"] in ("serious", "critical")]
    assert serious == [], json.dumps(serious, indent=1)[:3000]


def test_pages_of_several_studies(chromium: "Browser", results: Path, tmp_path: Path, axe: str) -> None:
    other = shutil.copytree(results, tmp_path / "other", ignore=shutil.ignore_patterns("runs", "data", "logs"))
    shutil.copytree(results / "data", other / "data", ignore=shutil.ignore_patterns("*.npy", "*.zip"))
    compare_studies.main([str(results), str(other), "--output", str(tmp_path / "comparison.html")])
    points = {"runs": {"two": {}, "three": {"splits": {"runs": 3}}}}
    multiverse = Multiverse("many", (), {}, 1, {"base": 0}, points)
    studies = [read_study(results), read_study(other)]
    write_multiverse(MULTIVERSE_PAGE, multiverse, variants_of(multiverse), studies, tmp_path)
    claims = len(pd.read_csv(results / "tables" / "claims.csv"))
    for name, verdicts in (("comparison", 2 * claims), ("multiverse", claims)):
        for size in (DESKTOP, PHONE):
            context = chromium.new_context(viewport=size, offline=True)
            page, requests, complaints = context.new_page(), [], []
            page.on("request", lambda request, asked=requests: asked.append(request.url))
            page.on("pageerror", lambda error, said=complaints: said.append(str(error)))
            page.goto((tmp_path / f"{name}.html").as_uri())
            assert len([url for url in requests if not url.startswith("data:")]) == 1
            assert complaints == []
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            assert page.locator(".compared .verdict").count() == verdicts
            page.evaluate(axe)
            found = page.evaluate("axe.run()")["violations"]
            assert [entry["id"] for entry in found if entry["impact"] in ("serious", "critical")] == []
            context.close()


def test_the_check_finds_what_is_wrong(reader: Reader, axe: str) -> None:
    reader.page.evaluate("document.querySelectorAll('img').forEach((image) => image.removeAttribute('alt'))")
    reader.page.evaluate(axe)
    found = reader.page.evaluate("axe.run({runOnly: ['image-alt']})")
    assert "image-alt" in {entry["id"] for entry in found["violations"]}
