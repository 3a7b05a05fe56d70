"""Semantic mIoU: intersection over union of each class over all pixels of all pictures, averaged over the classes."""

import numpy as np
import numpy.typing as npt

from fastinst_rt.categories import Categories
from fastinst_rt.evaluation.classes import match_classes, unknown_note
from fastinst_rt.evaluation.datasets.segments import IGNORE
from fastinst_rt.evaluation.report import ClassResult, Report


class MeanIoU:
    """Collects semantic maps picture by picture.

    IoU = true positives / (true + false positives + false negatives), in pixels, over pixels that have a label
    (Everingham et al., "The PASCAL VOC Challenge", 2015). A class that is neither labelled nor predicted anywhere takes
    no part in the mean.

    Args:
        model: the class table of the predictions.
        data: the class table of the labels.

    Raises:
        UsageError: no class is in both.
    """

    def __init__(self, model: Categories, data: Categories) -> None:
        self._data = data
        other = len(data)  # a predicted class that the data set does not have
        class_of = match_classes(model, data)
        self._evaluated = np.isin(np.arange(other), class_of)
        self._class_of = np.where(class_of < 0, other, class_of)
        self._notes = unknown_note(model, data)
        self._confusion = np.zeros((other, other + 1), np.int64)  # [label, prediction] in pixels
        self._images = 0

    def add(self, labels: npt.NDArray[np.uint8], found: npt.NDArray[np.uint8]) -> None:
        """One picture: labels [H, W] with `IGNORE` where there is none, and predicted classes of the model [H, W]."""
        self._images += 1
        known = labels != IGNORE
        pairs = labels[known].astype(np.int64) * self._confusion.shape[1] + self._class_of[found[known]]
        self._confusion += np.bincount(pairs, minlength=self._confusion.size).reshape(self._confusion.shape)

    def report(self) -> Report:
        """The figures over all pictures added so far."""
        right = np.diag(self._confusion).astype(np.float64)
        labelled, predicted = self._confusion.sum(1), self._confusion.sum(0)[:-1]
        with np.errstate(invalid="ignore"):
            iou = right / (labelled + predicted - right)
            accuracy = right / labelled
        chosen = self._evaluated & ~np.isnan(iou)
        return Report(
            task="semantic",
            definition="mean IoU over classes, pixels of all pictures together",
            images=self._images,
            figures={
                "mIoU": float(iou[chosen].mean()) if chosen.any() else float("nan"),
                "pixel accuracy": float(right.sum() / labelled.sum()) if labelled.sum() else float("nan"),
            },
            classes=[
                ClassResult(
                    self._data.names[c], int(labelled[c]), {"IoU": float(iou[c]), "accuracy": float(accuracy[c])}
                )
                for c in np.flatnonzero(self._evaluated)
            ],
            notes=self._notes,
        )
