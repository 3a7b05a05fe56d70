"""Panoptic quality (Kirillov et al., "Panoptic Segmentation", CVPR 2019, section 4; void and crowds as COCO has them).

No well-kept package computes it lightly: panopticapi is not on PyPI and works on PNG files in worker processes,
torchmetrics takes no crowds. The definition is a page.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastinst_rt.categories import Categories
from fastinst_rt.evaluation.classes import match_classes, unknown_note
from fastinst_rt.evaluation.datasets.segments import SegmentLabels
from fastinst_rt.evaluation.report import ClassResult, Report
from fastinst_rt.postprocess.segments import PanopticSegments


@dataclass
class _Counts:
    """By class [K]: sum of IoU over matches, matches, unmatched predictions, unmatched labels."""

    iou: npt.NDArray[np.float64]
    matched: npt.NDArray[np.int64]
    wrong: npt.NDArray[np.int64]
    missed: npt.NDArray[np.int64]


class PanopticQuality:
    """Collects labels and predictions picture by picture.

    A predicted and a labelled segment of one class match if their IoU is over 0.5 (no segment can match two). Void
    pixels inside a prediction do not count in the IoU. An unmatched prediction is not wrong if more than half of it
    lies on void or on crowds of its class; a crowd need not be found.

    Args:
        model: the class table of the predictions.
        data: the class table of the labels.

    Raises:
        UsageError: no class is in both.
    """

    def __init__(self, model: Categories, data: Categories) -> None:
        self._data = data
        self._class_of = match_classes(model, data)
        self._notes = unknown_note(model, data)
        self._images = 0
        count = len(data)
        self._counts = _Counts(np.zeros(count), *(np.zeros(count, np.int64) for _ in range(3)))

    def add(self, labels: SegmentLabels, found: PanopticSegments) -> None:
        """One picture: its labels, and the segments found."""
        self._images += 1
        segments = [s for s in found.segments if self._class_of[s.class_id] >= 0]
        numbers = np.zeros(int(found.segment_map.max(initial=0)) + 1, np.int64)
        numbers[[s.id for s in segments]] = np.arange(1, len(segments) + 1)
        found_class = np.array([self._class_of[s.class_id] for s in segments], np.int64)
        self._count(labels, numbers[found.segment_map], found_class)

    def _count(
        self, labels: SegmentLabels, found_map: npt.NDArray[np.int64], found_class: npt.NDArray[np.int64]
    ) -> None:
        label_numbers = np.zeros(int(labels.segment_map.max(initial=0)) + 1, np.int64)
        label_numbers[labels.ids] = np.arange(1, len(labels) + 1)
        rows, columns = len(labels) + 1, len(found_class) + 1
        pairs = label_numbers[labels.segment_map] * columns + found_map
        shared = np.bincount(pairs.ravel(), minlength=rows * columns).reshape(rows, columns)  # row and column 0: void
        label_area, found_area = shared.sum(1)[1:], shared.sum(0)[1:]
        on_void, shared = shared[0, 1:], shared[1:, 1:]

        same_class = labels.class_ids[:, None] == found_class
        union = label_area[:, None] + found_area - shared - on_void
        iou = np.where(same_class & ~labels.is_crowd[:, None], shared / np.maximum(union, 1), 0)
        match = iou > 0.5
        on_crowd = np.where(same_class & labels.is_crowd[:, None], shared, 0).sum(0)
        excused = (on_void + on_crowd) / np.maximum(found_area, 1) > 0.5

        counts = self._counts
        row, column = np.nonzero(match)
        np.add.at(counts.iou, labels.class_ids[row], iou[row, column])
        np.add.at(counts.matched, labels.class_ids[row], 1)
        np.add.at(counts.wrong, found_class[~match.any(0) & ~excused & (found_area > 0)], 1)
        np.add.at(counts.missed, labels.class_ids[~match.any(1) & ~labels.is_crowd & (label_area > 0)], 1)

    def report(self) -> Report:
        """The figures over all pictures added so far; means over the classes that occur."""
        counts, things = self._counts, np.array(self._data.is_thing)
        evaluated = np.isin(np.arange(len(self._data)), self._class_of)
        weight = counts.matched + 0.5 * counts.wrong + 0.5 * counts.missed
        with np.errstate(invalid="ignore", divide="ignore"):
            quality = np.where(weight > 0, counts.iou / weight, np.nan)
            segmentation = np.where(counts.matched > 0, counts.iou / counts.matched, 0.0)
            recognition = np.where(weight > 0, counts.matched / weight, np.nan)
        segmentation[weight == 0] = np.nan
        values = {"PQ": quality, "SQ": segmentation, "RQ": recognition}
        groups = {"": evaluated, " things": evaluated & things, " stuff": evaluated & ~things}
        return Report(
            task="panoptic",
            definition="panoptic quality, Kirillov et al. 2019, void and crowds as in COCO",
            images=self._images,
            figures={
                name + suffix: _mean(value[members])
                for suffix, members in groups.items()
                for name, value in values.items()
            },
            classes=[
                ClassResult(
                    self._data.names[c],
                    int(counts.matched[c] + counts.missed[c]),
                    {name: float(value[c]) for name, value in values.items()},
                )
                for c in np.flatnonzero(evaluated)
            ],
            notes=self._notes,
        )


def _mean(values: npt.NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
