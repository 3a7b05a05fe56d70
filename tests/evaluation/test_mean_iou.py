"""Semantic mIoU against cases that were worked out by hand."""

import math

import numpy as np
import pytest

from fastinst_rt.categories import Categories
from fastinst_rt.evaluation.datasets.segments import IGNORE
from fastinst_rt.evaluation.mean_iou import MeanIoU

TABLE = Categories(("road", "car", "sky"), (1, 2, 3), (False, True, False))


def maps(*values: list[int]) -> list[np.ndarray]:
    return [np.array([value], np.uint8) for value in values]


def test_by_hand() -> None:
    metric = MeanIoU(TABLE, TABLE)
    #                  labels                        predictions
    metric.add(*maps([0, 0, 0, 1, 1, IGNORE, IGNORE], [0, 0, 1, 1, 0, 1, 2]))
    metric.add(*maps([0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1, 0]))
    report = metric.report()
    # road: 6 right, 7 labelled, 8 predicted; car: 3 right, 5 labelled, 4 predicted; sky: nowhere (ignored pixels aside)
    assert report.classes[0].figures == pytest.approx({"IoU": 6 / 9, "accuracy": 6 / 7})
    assert report.classes[1].figures == pytest.approx({"IoU": 3 / 6, "accuracy": 3 / 5})
    assert math.isnan(report.classes[2].figures["IoU"])
    assert report.figures == pytest.approx({"mIoU": (6 / 9 + 3 / 6) / 2, "pixel accuracy": 9 / 12})
    assert [one.count for one in report.classes] == [7, 5, 0]
    assert report.images == 2


def test_a_class_that_is_predicted_only_counts_as_zero() -> None:
    metric = MeanIoU(TABLE, TABLE)
    metric.add(*maps([0, 0, 0, 0], [0, 0, 0, 2]))
    assert metric.report().figures["mIoU"] == pytest.approx((3 / 4 + 0) / 2)


def test_classes_are_matched_by_name_and_others_are_wrong() -> None:
    model = Categories(("car", "boat", "road"), (1, 2, 3), (True, True, False))
    metric = MeanIoU(model, TABLE)
    metric.add(*maps([0, 0, 1, 1], [2, 1, 0, 0]))
    report = metric.report()
    assert [(one.name, one.figures["IoU"]) for one in report.classes] == [("road", 0.5), ("car", 1.0)]
    assert "sky" in report.notes[0]


def test_no_label_at_all() -> None:
    metric = MeanIoU(TABLE, TABLE)
    metric.add(*maps([IGNORE] * 3, [0, 1, 2]))
    assert all(math.isnan(value) for value in metric.report().figures.values())
