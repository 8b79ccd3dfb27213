"""Panels side by side, with a strip for the legend above them."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evenhand.figures.style import PAGE_WIDTH, new_figure

LEGEND_ROW, LEGEND_PADDING = 0.17, 0.13  # inches


def panel_grid(
    count: int, height: float | None, columns: int = 3, share: bool = True, legend_rows: int = 1
) -> tuple[Figure, list[Axes], Axes]:
    """`count` panels in rows of at most `columns`.

    Args:
        count: panels.
        height: of a panel with its labels, inches; None for square panels.
        columns: most panels in a row.
        share: common x and y scales.
        legend_rows: lines of the legend.

    Returns:
        The figure, the panels in reading order, and an empty area above them for a legend.
    """
    columns = min(count, columns)
    rows = math.ceil(count / columns)
    width = PAGE_WIDTH if columns > 1 else 0.7 * PAGE_WIDTH
    height = height or width / columns + 0.1
    strip = LEGEND_PADDING + LEGEND_ROW * legend_rows
    figure = new_figure(width, strip + height * rows)
    layout = figure.add_gridspec(rows + 1, columns, height_ratios=[strip, *[height - 0.3] * rows])
    legend = figure.add_subplot(layout[0, :])
    legend.set_axis_off()
    panels: list[Axes] = []
    for index in range(count):
        first = panels[0] if panels and share else None
        place = layout[1 + index // columns, index % columns]
        panels.append(figure.add_subplot(place, sharex=first, sharey=first))
    return figure, panels, legend
