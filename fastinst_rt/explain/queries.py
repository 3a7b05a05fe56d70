"""Figures I and II: where IA-guided queries sit, with and without local maxima first, before another checkpoint too."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastinst_rt.explain.drawing import (
    MISSED,
    caption,
    class_colour,
    legend,
    new_figure,
    outline,
    show_input,
)
from fastinst_rt.explain.observation import Observation
from fastinst_rt.explain.places import QueryPlaces, covered, query_places
from fastinst_rt.explain.truth import Truth

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SMALLEST, _LARGEST = 14.0, 150.0
"""Areas of the marks, points^2, for scores 0 and 1."""


def queries_figure(
    observations: Sequence[tuple[str, Observation]], counts: Sequence[int], truth: Truth | None = None
) -> tuple["Figure", dict[str, Any]]:
    """One row a number of queries; columns: local maxima first, by score alone, then each further checkpoint.

    Marks are sized by score and coloured by class; local maxima are discs, other places rings. Instances of the
    ground truth are outlined: white if a query sits inside, dashed in magenta if none does.

    Args:
        observations: (name of the checkpoint, what it saw); the first one is shown both ways.
        counts: N_a of each row.
        truth: labels of the picture.

    Returns:
        The figure, and everything in it as arrays.
    """
    (_, first), *_ = observations
    panels = [("local maxima first", first, True), ("by score alone", first, False)]
    panels += [(f"{name}, local maxima first", seen, True) for name, seen in observations[1:]]
    height, width = first.geometry.padded
    figure, axes = new_figure(
        len(panels), len(counts), height / width, title="Where the IA-guided queries sit", lines=2
    )
    arrays: dict[str, Any] = {"resized": first.geometry.resized, "padded": first.geometry.padded}
    classes: Counter[int] = Counter()
    for row, count in enumerate(counts):
        for column, (name, seen, first_maxima) in enumerate(panels):
            places = query_places(seen, count, local_maximum_first=first_maxima)
            inside = None if truth is None else covered(places, truth.masks, seen.geometry)
            _panel(axes[row, column], seen, places, truth, inside)
            text = f"{name}\n{len(places)} queries, {int(places.is_peak.sum())} local maxima"
            if inside is not None:
                text += f"; inside {int(inside.sum())} of {len(inside)} instances"
            caption(axes[row, column], text)
            classes.update(int(c) for c in places.class_ids)
            key = f"n{count}_{column}"
            arrays |= {
                f"{key}_{field}": getattr(places, field) for field in ("cells", "scores", "class_ids", "is_peak")
            }
            if inside is not None:
                arrays[f"{key}_covered"] = inside
    names = first.instances.categories.names
    legend(figure, [(names[c], class_colour(c)) for c, _ in classes.most_common(8)])
    return figure, arrays


def _panel(axes: "Axes", seen: Observation, places: QueryPlaces, truth: Truth | None, inside: Any) -> None:
    show_input(axes, seen, grey=True)
    if truth is not None:
        for mask, found in zip(truth.masks, inside, strict=True):
            outline(axes, mask, "#3b4a54" if found else MISSED, scale=seen.scale, width=1.0, dashed=not found)
    x, y = places.xy.T
    areas = _SMALLEST + (_LARGEST - _SMALLEST) * places.scores
    colours = [class_colour(int(c)) for c in places.class_ids]
    peak = places.is_peak
    rings, discs = ([c for c, p in zip(colours, peak, strict=True) if p == kind] for kind in (False, True))
    axes.scatter(x[~peak], y[~peak], s=areas[~peak], facecolors="none", edgecolors=rings, linewidths=1.4, zorder=5)
    axes.scatter(x[peak], y[peak], s=areas[peak], c=discs, edgecolors="white", linewidths=0.9, zorder=6)
