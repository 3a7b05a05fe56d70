"""Instance AP as Cityscapes defines it; it differs from COCO's in matching, in what is ignored and in the curve.

cityscapesScripts, the reference, is a set of scripts over PNG folders that brings matplotlib and half a dozen other
packages along and does not run with NumPy 2.4; the definition is a page. The tests compare with figures that
cityscapesScripts 2.3.0 gave.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fastinst_rt.categories import CITYSCAPES, CITYSCAPES_THINGS, Categories
from fastinst_rt.evaluation.classes import match_classes, unknown_note
from fastinst_rt.evaluation.datasets.cityscapes import INSTANCES_FROM, label_of
from fastinst_rt.evaluation.report import ClassResult, Report
from fastinst_rt.results import Instances

OVERLAPS = np.arange(0.5, 1.0, 0.05)
"""IoU over which a prediction is right; AP is the mean over these."""

MIN_PIXELS = 100
"""Smaller instances need not be found."""


class _Tally:
    """Predictions of one class at one overlap: scores of right and of wrong ones, and the count of missed instances."""

    def __init__(self) -> None:
        self.right: list[float] = []
        self.wrong: list[float] = []
        self.missed = 0

    def average_precision(self) -> float:
        """Area under precision over recall, NaN if there was nothing to find.

        One point a distinct score, and (recall 0, precision 1); each precision is weighted by half the distance in
        recall between its neighbours.
        """
        to_find = len(self.right) + self.missed
        if to_find == 0:
            return float("nan")
        scores = np.array(self.right + self.wrong)
        if not len(scores):
            return 0.0
        right = np.repeat([True, False], [len(self.right), len(self.wrong)])
        order = np.argsort(scores, kind="stable")
        _, first = np.unique(scores[order], return_index=True)
        found = np.cumsum(right[order][::-1])[::-1][first]  # right ones of at least this score
        kept = len(scores) - first
        precision = np.append(found / kept, 1.0)
        recall = np.append(found / to_find, 0.0)
        around = np.concatenate([recall[:1], recall, [0.0]])
        return float(precision @ (0.5 * (around[:-2] - around[2:])))


class CityscapesAP:
    """Collects labels and predictions picture by picture.

    Each instance of at least 100 pixels is found by the best-scored prediction of its class that overlaps it by more
    than the threshold; further ones are wrong. A prediction that overlaps nothing enough is wrong too, unless more of
    it than the threshold lies on void, on groups or on smaller instances of its class.

    Args:
        model: the class table of the predictions.

    Raises:
        UsageError: the model has none of Cityscapes' things.
    """

    def __init__(self, model: Categories) -> None:
        self._class_of = match_classes(model, CITYSCAPES_THINGS)
        self._notes = unknown_note(model, CITYSCAPES_THINGS)
        self._tallies = [[_Tally() for _ in OVERLAPS] for _ in CITYSCAPES_THINGS.names]
        self._counts = np.zeros(len(CITYSCAPES_THINGS), np.int64)
        self._images = 0

    def add(self, instance_ids: npt.NDArray[np.int32], found: Instances) -> None:
        """One picture.

        Args:
            instance_ids: int32 [H, W], label id, or label id x 1000 + number, as `Cityscapes.instance_ids`.
            found: the instances found at any score.
        """
        self._images += 1
        # separated caravans and trailers are of no evaluated class either, but not void, as in cityscapesScripts
        void = (instance_ids < INSTANCES_FROM) & ~np.isin(instance_ids, CITYSCAPES.dataset_ids)
        values, numbers = np.unique(instance_ids, return_inverse=True)
        numbers = numbers.reshape(instance_ids.shape)
        label_area = np.bincount(numbers.ravel(), minlength=len(values))
        shared = np.zeros((len(values), len(found)), np.int64)
        on_void = np.zeros(len(found), np.int64)
        for i, (left, top, mask) in enumerate(found.crops):
            window = slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1])
            shared[:, i] = np.bincount(numbers[window][mask], minlength=len(values))
            on_void[i] = np.count_nonzero(void[window] & mask)
        labels, found_class = label_of(values), self._class_of[found.class_ids]
        for class_id, label in enumerate(CITYSCAPES_THINGS.dataset_ids):
            rows, columns = labels == label, (found_class == class_id) & (found.areas > 0)
            self._add_class(
                class_id,
                shared[np.ix_(rows, columns)],
                label_area[rows],
                found.areas[columns],
                values[rows] < INSTANCES_FROM,
                on_void[columns],
                found.scores[columns].astype(np.float64),
            )

    def _add_class(
        self,
        class_id: int,
        shared: npt.NDArray[np.int64],
        label_area: npt.NDArray[np.int64],
        found_area: npt.NDArray[np.int64],
        is_group: npt.NDArray[np.bool_],
        on_void: npt.NDArray[np.int64],
        scores: npt.NDArray[np.float64],
    ) -> None:
        iou = shared / (label_area[:, None] + found_area - shared)
        small = label_area < MIN_PIXELS
        to_find = ~is_group & ~small
        self._counts[class_id] += np.count_nonzero(to_find)
        # a small group counts twice, as in cityscapesScripts
        ignored = (on_void + shared[is_group].sum(0) + shared[small].sum(0)) / np.maximum(found_area, 1)
        for tally, overlap in zip(self._tallies[class_id], OVERLAPS, strict=True):
            over = iou > overlap
            for row in over[to_find]:
                if row.any():
                    best, *others = sorted(scores[row].tolist(), reverse=True)
                    tally.right.append(best)
                    tally.wrong += others
                else:
                    tally.missed += 1
            tally.wrong += scores[~over.any(0) & (ignored <= overlap)].tolist()

    def report(self) -> Report:
        """The figures over all pictures added so far; means over the classes that have instances."""
        precision = np.array([[tally.average_precision() for tally in row] for row in self._tallies])
        evaluated = [c for c in range(len(CITYSCAPES_THINGS)) if c in self._class_of]
        return Report(
            task="cityscapes",
            definition="instance AP of Cityscapes",
            images=self._images,
            figures={"AP": _mean(precision[evaluated].ravel()), "AP50": _mean(precision[evaluated, 0])},
            classes=[
                ClassResult(
                    CITYSCAPES_THINGS.names[c],
                    int(self._counts[c]),
                    {"AP": _mean(precision[c]), "AP50": float(precision[c, 0])},
                )
                for c in evaluated
            ],
            notes=self._notes,
        )


def _mean(values: Sequence[float] | npt.NDArray[np.float64]) -> float:
    known = np.asarray(values)[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
