"""Cityscapes' instance AP: worked out by hand, and against figures of cityscapesScripts 2.3.0."""

import math

import numpy as np
import pytest

from fastinst_rt.categories import CITYSCAPES_THINGS, Categories
from fastinst_rt.evaluation.cityscapes_ap import CityscapesAP
from fastinst_rt.evaluation.report import Report
from fastinst_rt.postprocess.enlarge import box, trim
from fastinst_rt.results import Instances

CAR, PERSON = CITYSCAPES_THINGS.index_of["car"], CITYSCAPES_THINGS.index_of["person"]
HEIGHT, WIDTH = 40, 200


def street(*spans: tuple[int, int, int]) -> np.ndarray:
    """Road with upright stripes: (value, first column, one past the last)."""
    ids = np.full((HEIGHT, WIDTH), 7, np.int32)
    for value, start, stop in spans:
        ids[:, start:stop] = value
    return ids


def found(*spans: tuple[int, int, int, float]) -> Instances:
    """Upright stripes: (class, first column, one past the last, score)."""
    masks = [street((1, start, stop)) == 1 for _, start, stop, _ in spans]
    return as_instances(masks, [c for c, *_ in spans], [score for *_, score in spans])


def as_instances(masks: list[np.ndarray], classes: list[int], scores: list[float]) -> Instances:
    crops = tuple(trim(mask) for mask in masks)
    return Instances(
        size=masks[0].shape if masks else (HEIGHT, WIDTH),
        scores=np.array(scores, np.float32),
        class_ids=np.array(classes, np.int64),
        boxes=np.array([box(crop) for crop in crops], np.float32).reshape(-1, 4),
        crops=crops,
        categories=CITYSCAPES_THINGS,
    )


def report_of(*pairs: tuple[np.ndarray, Instances]) -> Report:
    metric = CityscapesAP(CITYSCAPES_THINGS)
    for ids, instances in pairs:
        metric.add(ids, instances)
    return metric.report()


def car50(*pairs: tuple[np.ndarray, Instances]) -> float:
    return report_of(*pairs).classes[CAR].figures["AP50"]


TWO_CARS = street((26000, 0, 20), (26001, 40, 60))


def test_perfect() -> None:
    report = report_of((TWO_CARS, found((CAR, 0, 20, 0.9), (CAR, 40, 60, 0.8))))
    assert report.figures == {"AP": 1, "AP50": 1}
    assert report.classes[CAR].count == 2
    assert math.isnan(report.classes[PERSON].figures["AP"])


def test_one_found_one_missed() -> None:
    # curve: (recall 1/2, precision 1), (0, 1); widths: (1/2 - 0) / 2 and (1/2 - 0) / 2
    assert car50((TWO_CARS, found((CAR, 0, 20, 0.9)))) == pytest.approx(0.5)


def test_a_wrong_one_before_a_right_one() -> None:
    # curve from the lowest score: (1, 2/3), (1/2, 1/2), (0, 0), (0, 1): the wrong one has the best score
    # widths, half the distance between neighbours: 1/4, 1/2, 1/4, 0
    instances = found((CAR, 100, 120, 0.9), (CAR, 0, 20, 0.8), (CAR, 40, 60, 0.7))
    assert car50((TWO_CARS, instances)) == pytest.approx(2 / 3 / 4 + 1 / 2 / 2 + 0)


def test_a_second_prediction_of_one_car_is_wrong() -> None:
    # curve: (1/2, 1/2) for both, (1/2, 1), (0, 1); widths 0, 1/4, 1/4
    assert car50((TWO_CARS, found((CAR, 0, 20, 0.9), (CAR, 0, 19, 0.8)))) == pytest.approx(0.5)
    assert car50((TWO_CARS, found((CAR, 0, 19, 0.9), (CAR, 0, 20, 0.95)))) == pytest.approx(0.5)


def test_overlap_must_be_over_the_threshold() -> None:
    report = report_of((street((26000, 0, 20)), found((CAR, 0, 15, 0.9))))  # IoU 0.75
    assert report.classes[CAR].figures == pytest.approx({"AP": 0.5, "AP50": 1})  # right at 0.5, 0.55, ... 0.7


@pytest.mark.parametrize("ignored", [26, 1, 0])
def test_groups_and_void_are_neither_to_be_found_nor_wrong(ignored: int) -> None:
    ids = street((26000, 0, 20), (ignored, 100, 150))
    alone = found((CAR, 0, 20, 0.8))
    assert car50((ids, alone)) == 1
    assert car50((ids, found((CAR, 110, 140, 0.9), (CAR, 0, 20, 0.8)))) == 1
    assert car50((ids, found((CAR, 140, 180, 0.9), (CAR, 0, 20, 0.8)))) < 1  # most of it on the road


def test_small_instances_need_not_be_found() -> None:
    ids = street((26000, 0, 20), (26001, 100, 102))  # 80 pixels
    assert car50((ids, found((CAR, 0, 20, 0.8)))) == 1
    assert car50((ids, found((CAR, 0, 20, 0.8), (CAR, 100, 102, 0.9)))) == 1


def test_nothing_found_and_nothing_to_find() -> None:
    assert car50((TWO_CARS, found())) == 0
    assert math.isnan(car50((street(), found((CAR, 0, 20, 0.9)))))


def test_classes_are_matched_by_name() -> None:
    model = Categories(("car", "boat"), (1, 2), (True, True))
    metric = CityscapesAP(model)
    instances = found((0, 0, 20, 0.9), (1, 40, 60, 0.8))
    metric.add(TWO_CARS, Instances(**{**vars(instances), "categories": model}))
    report = metric.report()
    assert [one.name for one in report.classes] == ["car"]
    assert report.figures["AP50"] == pytest.approx(0.5)


def made_up_scene(random: np.random.Generator) -> tuple[np.ndarray, Instances]:
    """A street of ellipses of several classes, groups and void among them, and predictions around them."""
    ids = np.where(np.arange(120)[:, None] < 50, 23, 7) * np.ones((1, 200), np.int32)
    values = [26, 24, 1, 4, 26000, 26001, 26002, 24000, 24001, 24002, 24003, 33000, 29000, 25000]
    masks, classes, scores = [], [], []
    for value in random.permutation(values):
        centre, axes = random.integers((10, 10), (190, 110)), random.integers(3, 28, 2)
        ids[ellipse(centre, axes)] = value
        label = value // 1000 if value >= 1000 else value
        for _ in range(random.integers(0, 4)):
            moved = ellipse(centre + random.integers(-3, 4, 2), np.maximum(axes + random.integers(-3, 4, 2), 1))
            near = label in CITYSCAPES_THINGS.dataset_ids and random.random() < 0.8
            masks.append(moved)
            classes.append(CITYSCAPES_THINGS.dataset_ids.index(label) if near else int(random.integers(8)))
            scores.append(round(float(random.random()), 2))  # some scores are equal
    return ids.astype(np.int32), as_instances(masks, classes, scores)


def ellipse(centre: np.ndarray, axes: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[:120, :200]
    return ((x - centre[0]) / axes[0]) ** 2 + ((y - centre[1]) / axes[1]) ** 2 <= 1


def test_equals_cityscapes_scripts_on_made_up_scenes() -> None:
    """The figures are those of evalInstanceLevelSemanticLabeling.py of cityscapesScripts 2.3.0 for the same scenes."""
    random = np.random.default_rng(2024)
    report = report_of(*(made_up_scene(random) for _ in range(12)))
    assert report.figures == pytest.approx({"AP": 0.0823691899692254, "AP50": 0.18146624887617882}, rel=1e-12)
    by_class = {one.name: one.figures["AP"] for one in report.classes if one.count}
    expected = {
        "person": 0.10427356468018885,
        "rider": 0.11413326067871524,
        "car": 0.10076718505894053,
        "bicycle": 0.010302749459056987,
    }
    assert by_class == pytest.approx(expected, rel=1e-12)
