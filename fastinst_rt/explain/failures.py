"""Figure VI: what goes wrong: duplicates, over-segmentation, misses, false positives; found, ranked, shown."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from fastinst_rt.explain.drawing import MISSED, caption, class_colour, new_figure, on_paper, outline, show_picture
from fastinst_rt.explain.truth import Truth
from fastinst_rt.results import Instances

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Literal["duplicate", "over-segmentation", "miss", "false positive"]
KINDS: tuple[Kind, ...] = ("duplicate", "over-segmentation", "miss", "false positive")

SAME = 0.5
"""Mask IoU from which two masks of a class are one object."""
_PART_INSIDE, _PART_COVERS = 0.7, 0.1
"""A prediction is a piece of a labelled instance if this much of it lies inside, and it covers this much of that."""

_LEAST_VIEW = 120
"""Pixels of the picture that a panel shows at least: a small thing is nothing without what surrounds it."""

Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Failure:
    """One thing that went wrong in one picture.

    Attributes:
        kind: see `KINDS`.
        severity: higher is worse; only to be compared within a kind.
        picture: index of the picture.
        predicted: indices of the predictions concerned.
        labelled: index of the labelled instance concerned, or None.
        text: what happened, for a caption.
    """

    kind: Kind
    severity: float
    picture: int
    predicted: tuple[int, ...]
    labelled: int | None
    text: str


def find_failures(found: Instances, truth: Truth | None = None, picture: int = 0) -> list[Failure]:
    """Everything that went wrong in one picture; without labels, duplicates only.

    - duplicate: two predictions of a class with mask IoU over 0.5; severity: the lower of the two scores.
    - over-segmentation: a labelled instance with two or more predictions of its class inside it (at least 70 % of
      each), each covering 10 % of it, none covering it as a whole (IoU 0.5); severity: the share they cover together.
    - miss: a labelled instance that no prediction of its class reaches with IoU 0.5; severity: its area.
    - false positive: a prediction that is nobody's, not in a crowd, of a class that is labelled here; severity: score.

    Predictions and labels are paired one to one as COCO does: the best score first takes the label it overlaps most.

    Args:
        found: predictions.
        truth: labels.
        picture: index to write into the failures.
    """
    failures = _duplicates(found, picture)
    if truth is not None:
        overlap = _overlaps(found.masks, truth.masks)
        same_class = found.class_ids[:, None] == truth.class_ids[None]
        ious = np.where(same_class, overlap.iou, 0.0)
        pairs = _pairs(ious)
        pieces = _over_segmentations(found, truth, overlap, same_class, pairs, picture)
        failures += pieces
        in_pieces = {failure.labelled for failure in pieces if failure.labelled is not None}
        failures += _misses(truth, ious, set(pairs.values()) | in_pieces, picture)
        explained = set(pairs) | {i for failure in failures for i in failure.predicted}
        failures += _false_positives(found, truth, explained, ious, picture)
    return failures


def worst(failures: Sequence[Failure], of_each: int, of_one_picture: int = 2) -> list[Failure]:
    """The worst of each kind, kinds in order.

    Args:
        of_each: at most this many of a kind.
        of_one_picture: at most this many of a kind from one picture, so that one bad picture does not fill the sheet
            (where all failures are of one picture, this does not count).
    """
    alone = len({failure.picture for failure in failures}) == 1
    chosen: list[Failure] = []
    for kind in KINDS:
        taken: Counter[int] = Counter()
        for failure in sorted((f for f in failures if f.kind == kind), key=lambda f: -f.severity):
            if taken.total() < of_each and (alone or taken[failure.picture] < of_one_picture):
                taken[failure.picture] += 1
                chosen.append(failure)
    return chosen


@dataclass(frozen=True)
class _Overlap:
    """For predictions [N] and labels [n]: float [N, n] each."""

    iou: npt.NDArray[np.float64]
    inside: npt.NDArray[np.float64]
    covers: npt.NDArray[np.float64]


def _overlaps(a: Masks, b: Masks) -> _Overlap:
    first, second = (m.reshape(len(m), m.shape[1] * m.shape[2]).astype(np.float32) for m in (a, b))
    common = (first @ second.T).astype(np.float64)
    area_a, area_b = first.sum(1)[:, None], second.sum(1)[None]
    return _Overlap(
        iou=common / np.maximum(area_a + area_b - common, 1),
        inside=common / np.maximum(area_a, 1),
        covers=common / np.maximum(area_b, 1),
    )


def _pairs(ious: npt.NDArray[np.float64]) -> dict[int, int]:
    """Prediction -> label, for IoUs [N, n] of predictions in the order of their scores."""
    free = ious.copy()
    pairs: dict[int, int] = {}
    for i in range(len(free)):
        if free.shape[1] and free[i].max() >= SAME:
            pairs[i] = int(free[i].argmax())
            free[:, pairs[i]] = 0.0
    return pairs


def _name(instances: Instances, i: int) -> str:
    return instances.categories.names[int(instances.class_ids[i])]


def _duplicates(found: Instances, picture: int) -> list[Failure]:
    ious = _overlaps(found.masks, found.masks).iou
    failures = []
    for i in range(len(found)):
        for j in range(i + 1, len(found)):
            if found.class_ids[i] == found.class_ids[j] and ious[i, j] > SAME:
                text = f"{_name(found, i)} {found.scores[i]:.2f} and {found.scores[j]:.2f}, IoU {ious[i, j]:.2f}"
                failures.append(Failure("duplicate", float(found.scores[j]), picture, (i, j), None, text))
    return failures


def _over_segmentations(
    found: Instances,
    truth: Truth,
    overlap: _Overlap,
    same_class: npt.NDArray[np.bool_],
    pairs: dict[int, int],
    picture: int,
) -> list[Failure]:
    failures = []
    piece = same_class & (overlap.inside >= _PART_INSIDE) & (overlap.covers >= _PART_COVERS)
    for label in range(len(truth)):
        parts = np.flatnonzero(piece[:, label])
        if len(parts) < 2 or label in pairs.values():
            continue
        together = np.any(found.masks[parts], axis=0) & truth.masks[label]
        share = float(together.sum() / truth.masks[label].sum())
        text = f"{_name(found, int(parts[0]))} in {len(parts)} pieces covering {share:.0%}"
        failures.append(Failure("over-segmentation", share, picture, tuple(int(p) for p in parts), label, text))
    return failures


def _misses(truth: Truth, ious: npt.NDArray[np.float64], found: set[int], picture: int) -> list[Failure]:
    failures = []
    for label in range(len(truth)):
        if label in found:
            continue
        area = int(np.count_nonzero(truth.masks[label]))
        best = float(ious[:, label].max(initial=0))
        name = truth.categories.names[int(truth.class_ids[label])]
        text = f"{name} of {area} pixels, best IoU {best:.2f}"
        failures.append(Failure("miss", float(area), picture, (), label, text))
    return failures


def _false_positives(
    found: Instances, truth: Truth, explained: set[int], ious: npt.NDArray[np.float64], picture: int
) -> list[Failure]:
    failures = []
    for i in range(len(found)):
        mask = found.masks[i]
        in_crowd = bool((mask & truth.crowd).sum() > SAME * mask.sum())
        if i in explained or in_crowd or not truth.labelled[found.class_ids[i]]:
            continue
        text = f"{_name(found, i)} {found.scores[i]:.2f}, best IoU {ious[i].max(initial=0):.2f}"
        failures.append(Failure("false positive", float(found.scores[i]), picture, (i,), None, text))
    return failures


def failures_figure(
    failures: Sequence[Failure],
    pictures: Sequence[tuple[str, npt.NDArray[np.uint8], Instances, Truth | None]],
    across: int = 4,
) -> tuple["Figure", dict[str, Any]]:
    """A sheet of failures: a panel each, cut around what went wrong; every kind begins a row.

    Predictions are outlined in their class colour, labels dashed in magenta.

    Args:
        failures: what to show, in order.
        pictures: (name, uint8 [H, W, 3] BGR, predictions, labels), by the index that failures carry.
        across: panels a row.

    Returns:
        The figure, and kind, severity, picture and text of every failure as arrays.
    """
    groups = [[f for f in failures if f.kind == kind] for kind in KINDS]
    across = max(1, min(across, max(len(group) for group in groups)))
    lines = [group[i : i + across] for group in groups for i in range(0, len(group), across)]
    figure, axes = new_figure(across, max(1, len(lines)), 1.0, title="What goes wrong", cell=3.1, lines=3)
    if not failures:
        axes[0, 0].text(0.5, 0.5, "nothing found", ha="center", va="center", transform=axes[0, 0].transAxes)
    for panel, failure in [(axes[row, i], f) for row, line in enumerate(lines) for i, f in enumerate(line)]:
        name, image, found, truth = pictures[failure.picture]
        show_picture(panel, image)
        on_paper(panel)
        masks = [found.masks[i] for i in failure.predicted]
        for mask, i in zip(masks, failure.predicted, strict=True):
            outline(panel, mask, class_colour(int(found.class_ids[i]) + failure.predicted.index(i)))
        if failure.labelled is not None and truth is not None:
            masks.append(truth.masks[failure.labelled])
            outline(panel, masks[-1], MISSED, dashed=True)
        _zoom(panel, np.any(masks, axis=0))
        caption(panel, f"{failure.kind}\n{failure.text}\n{name}")
    return figure, {
        "kind": np.array([failure.kind for failure in failures]),
        "severity": np.array([failure.severity for failure in failures]),
        "picture": np.array([pictures[failure.picture][0] for failure in failures]),
        "text": np.array([failure.text for failure in failures]),
    }


def _zoom(panel: Any, mask: Masks) -> None:
    """A square around the mask with a margin, moved into the picture; where it cannot be, paper shows."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    height, width = mask.shape
    y, x, extent = height / 2, width / 2, max(height, width)
    if len(rows):
        y, x = (rows[0] + rows[-1]) / 2, (columns[0] + columns[-1]) / 2
        extent = max(rows[-1] - rows[0], columns[-1] - columns[0])
    side = min(max(extent * 1.3, _LEAST_VIEW), max(height, width))
    left, top = (_inside(middle - side / 2, side, length) for middle, length in ((x, width), (y, height)))
    panel.set_xlim(left, left + side)
    panel.set_ylim(top + side, top)


def _inside(start: float, side: float, length: int) -> float:
    """A window moved to lie in 0..length, or centred where it is longer."""
    return (length - side) / 2 if side > length else min(max(start, 0.0), length - side)
