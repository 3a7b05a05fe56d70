"""Figures IV and V: what the network predicts beside what is labelled; a contact sheet for many pictures."""

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastinst_rt.explain.drawing import INK, caption, new_figure, outlined, show_picture
from fastinst_rt.explain.truth import Truth
from fastinst_rt.postprocess.enlarge import box, trim
from fastinst_rt.render import Layers, Overlay
from fastinst_rt.results import Instances

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Picture = npt.NDArray[np.uint8]

_ACROSS = 4
"""Pictures a row of the contact sheet."""


def as_instances(truth: Truth) -> Instances:
    """Labels in the form that everything draws: score 1, largest first."""
    order = np.argsort([-np.count_nonzero(mask) for mask in truth.masks], kind="stable")
    crops = tuple(trim(truth.masks[i]) for i in order)
    return Instances(
        size=(truth.crowd.shape[0], truth.crowd.shape[1]),
        scores=np.ones(len(crops), np.float32),
        class_ids=truth.class_ids[order],
        boxes=np.array([box(crop) for crop in crops], np.float32).reshape(-1, 4),
        crops=crops,
        categories=truth.categories,
    )


def predictions_figure(
    pictures: Sequence[tuple[str, Picture, Instances, Truth | None]],
) -> tuple["Figure", dict[str, Any]]:
    """Predictions (left) and labels (right, where there are any) of each picture.

    Args:
        pictures: (name, uint8 [H, W, 3] BGR, predicted instances, labels).

    Returns:
        The figure, and scores, classes and boxes of everything in it.
    """
    labelled = any(truth is not None for *_, truth in pictures)
    side = 2 if labelled else 1
    across = min(len(pictures), _ACROSS // side if len(pictures) > 1 else 1)
    aspect = float(np.median([image.shape[0] / image.shape[1] for _, image, _, _ in pictures]))
    title = "Predictions beside labels" if labelled else "Predictions"
    cell = 5.2 if len(pictures) == 1 else 3.4
    figure, axes = new_figure(across * side, ceil(len(pictures) / across), aspect, title=title, cell=cell)
    arrays: dict[str, Any] = {"names": np.array([name for name, *_ in pictures])}
    drawn = Overlay(Layers(labels=len(pictures) <= _ACROSS))
    for i, (name, image, found, truth) in enumerate(pictures):
        row, column = divmod(i, across)
        panel = axes[row, column * side]
        show_picture(panel, drawn.draw(image, found))
        caption(panel, f"{name}: {len(found)} predicted")
        arrays |= {f"{i}_scores": found.scores, f"{i}_class_ids": found.class_ids, f"{i}_boxes": found.boxes}
        if truth is not None:
            panel = axes[row, column * side + 1]
            labels = as_instances(truth)
            show_picture(panel, Overlay(Layers(labels=False)).draw(image, labels))
            _tag(panel, labels, 8.5 if len(pictures) <= _ACROSS else 5.5)
            caption(panel, f"{len(truth)} labelled", INK)
            arrays |= {f"{i}_truth_class_ids": truth.class_ids}
    return figure, arrays


def _tag(panel: "Axes", labels: Instances, size: float) -> None:
    """The class names of labels, over their highest points; the largest instances are tagged first, a dozen at most."""
    for name, box_of in list(zip(labels.class_names, labels.boxes, strict=True))[:12]:
        x, y = (box_of[0] + box_of[2]) / 2, max(float(box_of[1]), labels.size[0] * 0.03)
        text = panel.text(float(x), y, name, fontsize=size, color=INK, ha="center", va="center", clip_on=True)
        outlined(text)
