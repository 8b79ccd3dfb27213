"""How well attributes and diseases are decoded from embeddings when features are removed."""

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evenhand.figures.common import Declared, Drawing, FigureText, Given
from evenhand.figures.panels import mark_values
from evenhand.figures.style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    MUTED,
    NORMAL,
    ORANGE,
    PAGE_WIDTH,
    VERMILLION,
    new_figure,
    percent,
)
from evenhand.workflow.tables import read_table

FIGURES: Declared = {
    "probe_curves": {
        "place": 160,
        "label": "AUC by share of features removed",
        "section": "Probes",
        "files": ["probe_curves"],
    }
}

ROW = ["dataset", "model", "train_set"]
COLUMNS = (
    *ROW, "attribute", "target", "role", "probe", "removal", "fraction",
    "mean_auc", "band_low", "band_high", "ci_low", "ci_high", "unit", "n_runs", "n_images",
)  # fmt: skip
# Removal: colour, marker, line style and words; told apart without colour as well.
LINES = {
    "top": (VERMILLION, "o", "-", "best-ranked features removed"),
    "random": (BLUE, "s", "--", "as many random ones (band: draws)"),
    "bottom": (GREEN, "^", ":", "lowest-ranked removed"),
    "reranked": (ORANGE, "D", "-.", "best-ranked, ranked anew at each step"),
}
MOST_NUMBERS = 6  # panels whose numbers a caption lists; the text for who cannot see has all
TITLE = "What can be decoded from the embeddings when features are removed"
NOTHING = "No attribute could be probed; the report says why of each (tables/probe_left_out.csv)."
CAVEAT = "A probe shows that an attribute can be decoded, not that a model uses it."


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    data = probe_data(read_table(given.files["probe_curves"], COLUMNS))
    if data.empty:
        return Drawing(FigureText(TITLE, NOTHING, NOTHING), draw_nothing)
    return Drawing(probe_text(data), lambda: draw_probe_curves(data))


def probe_data(curves: pd.DataFrame) -> pd.DataFrame:
    """The MLP's rows of tables/probe_curves.csv."""
    return curves[curves["probe"] == "mlp"]


def draw_nothing() -> Figure:
    """A sentence in place of curves: which targets the data have is known only when they are read."""
    figure = new_figure(PAGE_WIDTH, 0.8)
    figure.text(0.5, 0.5, NOTHING, ha="center", va="center", color=MUTED)
    return figure


def draw_probe_curves(data: pd.DataFrame) -> Figure:
    """A panel per embedding (rows) and attribute (columns): AUC against the share of features removed."""
    rows = sorted(set(data[ROW].itertuples(index=False, name=None)))
    columns = list(dict.fromkeys(data["attribute"]))
    figure = new_figure(max(PAGE_WIDTH, 1.7 * len(columns)), 1.7 * len(rows) + 1.3)
    grid = figure.subplots(len(rows), len(columns), squeeze=False, sharex=True, sharey=True)
    titled: set[int] = set()
    for line, row in enumerate(rows):
        for place, attribute in enumerate(columns):
            axes = grid[line, place]
            panel = data[(data[ROW] == list(row)).all(axis=1) & (data["attribute"] == attribute)]
            if panel.empty:
                axes.set_axis_off()
                continue
            _draw_panel(axes, panel)
            if place not in titled:
                axes.set_title(attribute)
                titled.add(place)
            if place == 0:
                axes.set_ylabel(f"{_name(row)}\nAUC")
    figure.supxlabel(f"features removed, % (logarithmic above 1 %)\n{CAVEAT}", fontsize=NORMAL)
    handles: dict[str, Artist] = {}
    for axes in grid.flat:
        found, names = axes.get_legend_handles_labels()
        handles |= dict(zip(names, found, strict=True))
    figure.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=2)
    return figure


def probe_text(data: pd.DataFrame) -> FigureText:
    """Title, caption and alternative text, with what the untouched embedding and half of it give."""
    found = []
    of_attributes = data[data["role"] == "attribute"]
    for (*row, attribute), panel in of_attributes.groupby([*ROW, "attribute"], sort=True):
        full = panel[panel["removal"] == "none"]["mean_auc"].iloc[0]
        removed = panel[panel["removal"].isin(["top", "random"])]
        half = removed[removed["fraction"] == 0.5].set_index("removal")["mean_auc"]
        after = ", ".join(f"{half[name]:.3f} {name}" for name in ("top", "random") if name in half)
        found.append(f"{attribute} ({_name(tuple(row))}) {full:.3f}" + (f", half removed {after}" if after else ""))
    units = ", ".join(f"{n} {unit}s" for unit, n in sorted(set(zip(data["unit"], data["n_runs"], strict=True))))
    numbers = f" {'; '.join(found)}." if len(found) <= MOST_NUMBERS else ""
    scored = sorted(set(of_attributes["n_images"]))
    images = f"{scored[0]:,}" + (f" to {scored[-1]:,}" if len(scored) > 1 else "")
    return FigureText(
        TITLE,
        f"AUC of probes trained afresh on the features left; {images} images of each embedding are scored. {CAVEAT}\n\n"
        f"Error bars are intervals over {units}, the band is the range of the random draws, the grey line is chance."
        f"{numbers}",
        f"Line plots of AUC against the share of features removed. {'; '.join(found)}. {CAVEAT}",
    )


def _draw_panel(axes: Axes, panel: pd.DataFrame) -> None:
    attribute = panel[panel["role"] == "attribute"]
    start = attribute[attribute["removal"] == "none"]
    for removal, (colour, marker, dash, words) in LINES.items():
        line = attribute[attribute["removal"] == removal].sort_values("fraction")
        if line.empty:
            continue
        line = pd.concat([start, line])
        share, middle = 100 * line["fraction"], line["mean_auc"]
        if removal == "random":
            axes.fill_between(share, line["band_low"], line["band_high"], color=colour, alpha=0.2, linewidth=0)
        axes.plot(share, middle, marker=marker, color=colour, linestyle=dash, markersize=3.5, label=words)
        _mark(axes, line, words)
        if removal == "top":
            # A t interval does not know that an AUC ends at 0 and 1.
            low, high = line["ci_low"].clip(lower=0), line["ci_high"].clip(upper=1)
            error = [(middle - low).clip(lower=0), (high - middle).clip(lower=0)]
            axes.errorbar(share, middle, error, color=colour, linestyle="none", linewidth=0.8)
    diseases = panel[(panel["role"] == "disease") & panel["removal"].isin(["none", "top"])]
    for number, (target, line) in enumerate(diseases.groupby("target", sort=True)):
        ordered = line.sort_values("fraction")
        label = f"disease on the features left ({target})"
        axes.plot(
            100 * ordered["fraction"], ordered["mean_auc"], color=MUTED, marker="xv+*"[number % 4], markersize=4,
            linewidth=1, label=label,
        )  # fmt: skip
        _mark(axes, ordered, label)
    erased = attribute[attribute["removal"] == "leace"]
    if len(erased):
        axes.axhline(erased["mean_auc"].iloc[0], color=INK, linestyle=(0, (1, 3)), label="linearly erased (LEACE)")
    axes.axhline(0.5, color=FAINT, linewidth=1.5, zorder=0)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xticks([0, 1, 10, 50], ["0", "1", "10", "50"])
    axes.minorticks_off()
    axes.grid(axis="y")


def _mark(axes: Axes, line: pd.DataFrame, label: str) -> None:
    """The values of a line, for the pointer."""
    texts = [
        f"{label}, {percent(row['fraction'])} removed: AUC {row['mean_auc']:.3f}; {row['n_images']:,} images, "
        f"{row['n_runs']} {row['unit']}s"
        for row in line.to_dict("records")
    ]
    mark_values(axes, 100 * line["fraction"], line["mean_auc"], texts)


def _name(row: tuple[object, ...]) -> str:
    dataset, model, train_set = map(str, row)
    return f"{dataset}, {model}" + (f", set {train_set}" if train_set else "")
