"""Mask AP of instances as COCO defines it, computed by pycocotools.

pycocotools is the reference implementation that published figures come from, it is kept up, and the package needs it
for RLE anyway; faster ones would have to be proven equal to it in any case.
"""

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fastinst_rt.categories import Categories
from fastinst_rt.evaluation.classes import match_classes, unknown_note
from fastinst_rt.evaluation.datasets.coco import InstanceLabels
from fastinst_rt.evaluation.report import ClassResult, Report
from fastinst_rt.results import Instances

DETECTIONS = 100
"""Detections a picture that count, as COCO has it."""

_FIGURES = ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large", "AR 1", "AR 10", "AR 100")
_ALL_AREAS, _MOST_DETECTIONS, _IOU_50 = 0, 2, 0


class InstanceAP:
    """Collects labels and predictions picture by picture.

    A class counts only in pictures where it is labelled: predictions of a class that may be visible and unlabelled are
    left out, so that the picture is as if it were not there for this class. Crowds are neither to be found nor wrong to
    find (pycocotools).

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
        self._images: list[dict[str, Any]] = []
        self._labels: list[dict[str, Any]] = []
        self._found: list[dict[str, Any]] = []
        self._unlabelled = 0

    def add(self, labels: InstanceLabels, found: Instances) -> None:
        """One picture: its labels, and the instances found at any score."""
        number = len(self._images) + 1
        height, width = labels.size
        self._images.append({"id": number, "height": height, "width": width})
        for i in range(len(labels)):
            self._labels.append(
                {
                    "id": len(self._labels) + 1,  # from 1: pycocotools takes a match with id 0 for none
                    "image_id": number,
                    "category_id": int(labels.class_ids[i]),
                    "iscrowd": int(labels.is_crowd[i]),
                    "area": float(labels.areas[i]),
                    "segmentation": labels.segmentations[i],
                }
            )
        for record, model_class in zip(found.to_coco(number), found.class_ids, strict=True):
            class_id = int(self._class_of[model_class])
            if class_id < 0:
                continue
            if not labels.labelled[class_id]:
                self._unlabelled += 1
                continue
            self._found.append(
                {  # no box: with one, pycocotools takes the box's area for the mask's
                    "image_id": number,
                    "category_id": class_id,
                    "score": record["score"],
                    "segmentation": record["segmentation"],
                }
            )

    def report(self) -> Report:
        """The figures over all pictures added so far."""
        with redirect_stdout(io.StringIO()):  # pycocotools prints what it does
            evaluation = self._evaluate()
        precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
        stats = [float("nan") if value < 0 else float(value) for value in evaluation.stats[: len(_FIGURES)]]
        counts = np.bincount(
            [label["category_id"] for label in self._labels if not label["iscrowd"]], minlength=len(self._data)
        )
        evaluated = sorted({int(c) for c in self._class_of if c >= 0})
        notes = list(self._notes)
        if self._unlabelled:
            notes.append(f"predictions left out, as their class is not labelled in the picture: {self._unlabelled}")
        return Report(
            task="instance",
            definition="mask AP of COCO, by pycocotools",
            images=len(self._images),
            figures=dict(zip(_FIGURES, stats, strict=True)),
            classes=[
                ClassResult(self._data.names[c], int(counts[c]), _of_class(precision, recall, k))
                for k, c in enumerate(evaluated)
            ],
            notes=notes,
        )

    def _evaluate(self) -> Any:
        categories = [{"id": index, "name": name} for index, name in enumerate(self._data.names)]
        evaluation = COCOeval(
            _as_coco(self._images, categories, self._labels), self._as_results(categories), iouType="segm"
        )
        evaluation.params.catIds = sorted({int(c) for c in self._class_of if c >= 0})
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        return evaluation

    def _as_results(self, categories: list[dict[str, Any]]) -> Any:
        if not self._found:  # loadRes cannot take an empty list
            return _as_coco(self._images, categories, [])
        return _as_coco(self._images, categories, []).loadRes(
            [dict(record) for record in self._found]
        )  # it adds to them


def _as_coco(images: list[dict[str, Any]], categories: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> Any:
    coco = COCO()
    coco.dataset = {"info": {}, "images": images, "categories": categories, "annotations": annotations}
    coco.createIndex()
    return coco


def _of_class(precision: npt.NDArray[np.float64], recall: npt.NDArray[np.float64], k: int) -> Mapping[str, float]:
    """Figures of one class out of pycocotools' arrays [IoU, recall, class, area, detections]; -1 is nothing there."""

    def mean(values: npt.NDArray[np.float64]) -> float:
        known = values[values > -1]
        return float(known.mean()) if known.size else float("nan")

    curves = precision[:, :, k, _ALL_AREAS, _MOST_DETECTIONS]
    return {
        "AP": mean(curves),
        "AP50": mean(curves[_IOU_50]),
        "AR 100": mean(recall[:, k, _ALL_AREAS, _MOST_DETECTIONS]),
    }
