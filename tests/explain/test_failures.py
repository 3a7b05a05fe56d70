"""Failures are found for what they are, and ranked."""

import numpy as np

from fastinst_rt.categories import Categories
from fastinst_rt.explain.failures import Failure, failures_figure, find_failures, worst
from fastinst_rt.explain.predictions import as_instances, predictions_figure
from fastinst_rt.explain.truth import Truth
from fastinst_rt.postprocess.enlarge import box, trim
from fastinst_rt.results import Instances

SIZE = (60, 100)
TABLE = Categories(("cat", "dog"), (1, 2), (True, True))


def rectangle(x: int, y: int, width: int, height: int) -> np.ndarray:
    mask = np.zeros(SIZE, np.bool_)
    mask[y : y + height, x : x + width] = True
    return mask


def predicted(*found: tuple[np.ndarray, int, float]) -> Instances:
    crops = tuple(trim(mask) for mask, _, _ in found)
    return Instances(
        size=SIZE,
        scores=np.array([score for *_, score in found], np.float32),
        class_ids=np.array([c for _, c, _ in found], np.int64),
        boxes=np.array([box(crop) for crop in crops], np.float32).reshape(-1, 4),
        crops=crops,
        categories=TABLE,
    )


def truth(
    *labelled: tuple[np.ndarray, int], crowd: np.ndarray | None = None, known: tuple[bool, bool] = (True, True)
) -> Truth:
    masks = np.array([mask for mask, _ in labelled], np.bool_).reshape(-1, *SIZE)
    crowd = np.zeros(SIZE, np.bool_) if crowd is None else crowd
    return Truth(np.array([c for _, c in labelled], np.int64), masks, crowd, np.array(known), TABLE)


def kinds(failures: list[Failure]) -> list[str]:
    return [failure.kind for failure in failures]


def test_nothing_wrong_is_nothing_found() -> None:
    a, b = rectangle(0, 0, 30, 30), rectangle(50, 10, 30, 30)
    assert find_failures(predicted((a, 0, 0.9), (b, 1, 0.8)), truth((a, 0), (b, 1))) == []


def test_two_of_a_class_on_one_thing_are_a_duplicate() -> None:
    a, shifted = rectangle(10, 10, 30, 30), rectangle(12, 10, 30, 30)
    (failure,) = find_failures(predicted((a, 0, 0.9), (shifted, 0, 0.7)), truth((a, 0)))
    assert (failure.kind, failure.predicted) == ("duplicate", (0, 1))
    assert failure.severity == np.float32(0.7)
    assert kinds(find_failures(predicted((a, 0, 0.9), (shifted, 1, 0.7)))) == []  # of two classes: no duplicate


def test_one_thing_in_pieces_is_over_segmented_and_nothing_else() -> None:
    whole = rectangle(10, 10, 60, 30)
    parts = [rectangle(10 + 20 * i, 10, 20, 30) for i in range(3)]
    (failure,) = find_failures(predicted(*((p, 0, 0.9 - i / 10) for i, p in enumerate(parts))), truth((whole, 0)))
    assert (failure.kind, failure.labelled, failure.predicted) == ("over-segmentation", 0, (0, 1, 2))
    assert failure.severity == 1.0


def test_a_label_without_prediction_is_a_miss_and_the_other_way_round() -> None:
    a, b = rectangle(0, 0, 30, 30), rectangle(60, 20, 30, 30)
    failures = find_failures(predicted((a, 0, 0.9)), truth((b, 0)), picture=4)
    assert kinds(failures) == ["miss", "false positive"]
    assert failures[0].severity == 900
    assert {failure.picture for failure in failures} == {4}


def test_another_class_does_not_count_as_found() -> None:
    a = rectangle(0, 0, 30, 30)
    assert kinds(find_failures(predicted((a, 1, 0.9)), truth((a, 0)))) == ["miss", "false positive"]


def test_a_crowd_and_an_unlabelled_class_excuse_a_prediction() -> None:
    a = rectangle(0, 0, 30, 30)
    assert find_failures(predicted((a, 0, 0.9)), truth(crowd=a)) == []
    assert find_failures(predicted((a, 0, 0.9)), truth(known=(False, True))) == []


def test_each_label_is_taken_by_one_prediction_the_best_first() -> None:
    a = rectangle(0, 0, 40, 40)
    loose, tight = rectangle(0, 0, 40, 30), rectangle(0, 0, 40, 39)
    failures = find_failures(predicted((loose, 0, 0.9), (tight, 0, 0.8)), truth((a, 0)))
    assert kinds(failures) == ["duplicate"]  # the second one is told of once, not as a false positive again


def test_empty_pictures_and_one_pixel_are_fine() -> None:
    assert find_failures(Instances.empty(SIZE, TABLE), truth()) == []
    assert find_failures(Instances.empty((1, 1), TABLE)) == []


def test_the_worst_come_first_and_one_picture_does_not_fill_the_sheet() -> None:
    many = [Failure("miss", float(i), i // 8, (), 0, "") for i in range(10)]
    assert [f.severity for f in worst(many, 4)] == [9.0, 8.0, 7.0, 6.0]
    assert [f.severity for f in worst(many[:8], 4)] == [7.0, 6.0, 5.0, 4.0]
    one_bad = [Failure("miss", 10.0 + i, 0, (), 0, "") for i in range(5)] + [Failure("miss", 1.0, 1, (), 0, "")]
    assert [f.severity for f in worst(one_bad, 4)] == [14.0, 13.0, 1.0]


def test_the_sheets_are_drawn() -> None:
    a, b = rectangle(0, 0, 30, 30), rectangle(60, 20, 30, 30)
    image = np.full((*SIZE, 3), 100, np.uint8)
    found, labels = predicted((a, 0, 0.9)), truth((b, 0))
    figure, arrays = failures_figure(find_failures(found, labels), [("x", image, found, labels)])
    assert arrays["kind"].tolist() == ["miss", "false positive"]
    assert len([axes for axes in figure.axes if axes.images]) == 2
    figure, _ = failures_figure([], [])
    assert figure.axes[0].texts[0].get_text() == "nothing found"
    figure, arrays = predictions_figure(
        [("x", image, found, labels), ("y", image, Instances.empty(SIZE, TABLE), truth())]
    )
    assert len([axes for axes in figure.axes if axes.images]) == 4
    assert arrays["names"].tolist() == ["x", "y"]


def test_labels_are_drawn_largest_first() -> None:
    found = as_instances(truth((rectangle(0, 0, 5, 5), 1), (rectangle(40, 20, 30, 30), 0)))
    assert found.class_names == ["cat", "dog"]
    assert found.boxes[0].tolist() == [40, 20, 70, 50]
