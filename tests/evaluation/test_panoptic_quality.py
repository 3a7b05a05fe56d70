"""Panoptic quality against cases that were worked out by hand."""

import math

import numpy as np
import pytest

from fastinst_rt.categories import Categories
from fastinst_rt.evaluation.datasets.segments import SegmentLabels
from fastinst_rt.evaluation.panoptic_quality import PanopticQuality
from fastinst_rt.evaluation.report import ClassResult, Report
from fastinst_rt.postprocess.segments import PanopticSegments, Segment

TABLE = Categories(("car", "person", "sky"), (1, 2, 3), (True, True, False))
CAR, PERSON, SKY = range(3)


def labels(segment_map: np.ndarray, classes: list[int], crowd: tuple[int, ...] = ()) -> SegmentLabels:
    """Segment i + 1 of the map has class `classes[i]`; 0 is void."""
    return SegmentLabels(
        segment_map.astype(np.int32),
        np.arange(1, len(classes) + 1),
        np.array(classes, np.int64),
        np.isin(np.arange(1, len(classes) + 1), crowd),
        TABLE,
    )


def found(segment_map: np.ndarray, classes: list[int], table: Categories = TABLE) -> PanopticSegments:
    segments = tuple(
        Segment(i, c, table.is_thing[c], int((segment_map == i).sum()), 1.0) for i, c in enumerate(classes, start=1)
    )
    return PanopticSegments(segment_map.astype(np.int32), segments, table)


def report_of(*pairs: tuple[SegmentLabels, PanopticSegments]) -> Report:
    metric = PanopticQuality(TABLE, TABLE)
    for label, prediction in pairs:
        metric.add(label, prediction)
    return metric.report()


def of(report: Report, class_id: int) -> ClassResult:
    return report.classes[class_id]


def row(*runs: tuple[int, int]) -> np.ndarray:
    """A map of one row: (value, pixels) in turn."""
    return np.concatenate([np.full(length, value) for value, length in runs])[None]


def test_perfect() -> None:
    street = row((1, 10), (2, 5), (3, 20))
    report = report_of((labels(street, [CAR, CAR, SKY]), found(street, [CAR, CAR, SKY])))
    assert [report.figures[name] for name in ("PQ", "SQ", "RQ", "PQ things", "PQ stuff")] == [1] * 5
    assert of(report, CAR).count == 2
    assert math.isnan(of(report, PERSON).figures["PQ"])  # it takes no part in the means


def test_one_match_one_wrong_one_missed() -> None:
    # car 1: pixels 0..9, car 2: 20..24, sky: the rest of 40 pixels
    label = labels(row((1, 10), (3, 10), (2, 5), (3, 15)), [CAR, CAR, SKY])
    # a car on 2..11 (IoU 8/12), a car on 30..34 (wrong), car 2 missed, sky on the other pixels
    prediction = found(row((3, 2), (1, 10), (3, 18), (2, 5), (3, 5)), [CAR, CAR, SKY])
    report = report_of((label, prediction))
    # PQ = IoU / (TP + FP/2 + FN/2) = (2/3) / (1 + 1/2 + 1/2)
    assert of(report, CAR).figures == pytest.approx({"PQ": 1 / 3, "SQ": 2 / 3, "RQ": 1 / 2})
    # sky: label 10..19 and 25..39 (25 px), prediction 0..1, 12..29, 35..39 (25 px); both: 12..19, 25..29, 35..39 = 18
    sky = 18 / (25 + 25 - 18)
    assert of(report, SKY).figures == pytest.approx({"PQ": sky, "SQ": sky, "RQ": 1})
    assert report.figures["PQ"] == pytest.approx((1 / 3 + sky) / 2)
    assert report.figures["PQ things"] == pytest.approx(1 / 3)
    assert report.figures["PQ stuff"] == pytest.approx(sky)


def test_an_iou_of_exactly_one_half_is_no_match() -> None:
    report = report_of((labels(row((1, 10), (2, 10)), [CAR, SKY]), found(row((1, 5), (2, 15)), [CAR, SKY])))
    assert of(report, CAR).figures == {"PQ": 0, "SQ": 0, "RQ": 0}
    report = report_of((labels(row((1, 10), (2, 10)), [CAR, SKY]), found(row((1, 6), (2, 14)), [CAR, SKY])))
    assert of(report, CAR).figures["PQ"] == pytest.approx(0.6)


def test_a_match_needs_the_same_class() -> None:
    report = report_of((labels(row((1, 10)), [CAR]), found(row((1, 10)), [PERSON])))
    assert of(report, CAR).figures["PQ"] == 0
    assert of(report, PERSON).figures["PQ"] == 0


def test_void_inside_a_prediction_does_not_count() -> None:
    report = report_of((labels(row((1, 10), (0, 10)), [CAR]), found(row((1, 19), (0, 1)), [CAR])))
    assert of(report, CAR).figures["PQ"] == 1
    # six of eleven pixels on void: excused; five of eleven: wrong
    excused, wrong = (row((1, 11), (0, 9)), row((0, 1), (1, 11), (0, 8)))
    label = labels(row((0, 6), (1, 14)), [SKY])
    assert math.isnan(of(report_of((label, found(excused, [CAR]))), CAR).figures["PQ"])
    assert of(report_of((label, found(wrong, [CAR]))), CAR).figures["PQ"] == 0


def test_crowds_need_not_be_found_and_excuse_their_class_only() -> None:
    label = labels(row((1, 10), (2, 10)), [CAR, SKY], crowd=(1,))
    nothing = report_of((label, found(row((0, 10), (1, 10)), [SKY])))
    assert math.isnan(of(nothing, CAR).figures["PQ"])
    inside = found(row((1, 4), (3, 4), (0, 2), (2, 10)), [CAR, SKY, PERSON])
    report = report_of((label, inside))
    assert math.isnan(of(report, CAR).figures["PQ"])
    assert of(report, PERSON).figures["PQ"] == 0
    assert of(report, SKY).figures["PQ"] == 1


def test_pictures_add_up() -> None:
    hit = (labels(row((1, 10)), [CAR]), found(row((1, 8), (0, 2)), [CAR]))
    miss = (labels(row((1, 10)), [CAR]), found(row((0, 10)), []))
    report = report_of(hit, miss)
    assert of(report, CAR).figures == pytest.approx({"PQ": 0.8 / 1.5, "SQ": 0.8, "RQ": 1 / 1.5})
    assert report.images == 2


def test_classes_are_matched_by_name() -> None:
    model = Categories(("sky", "boat", "car"), (1, 2, 3), (False, True, True))
    metric = PanopticQuality(model, TABLE)
    metric.add(labels(row((1, 10), (2, 10)), [CAR, SKY]), found(row((1, 10), (2, 8), (3, 2)), [2, 0, 1], model))
    report = metric.report()
    assert [one.name for one in report.classes] == ["car", "sky"]
    assert report.figures["PQ"] == pytest.approx(0.9)
    assert "person" in report.notes[0]
