"""Instance AP equals the COCO library's own, on real labels; label gaps and class tables are honoured."""

import contextlib
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO as CocoFile  # noqa: N811 - the library's class, not the class table
from pycocotools.cocoeval import COCOeval

from fastinst_rt.categories import COCO, Categories
from fastinst_rt.errors import UsageError
from fastinst_rt.evaluation.datasets.coco import CocoInstances, InstanceLabels
from fastinst_rt.evaluation.instance_ap import InstanceAP
from fastinst_rt.postprocess.enlarge import box, trim
from fastinst_rt.results import Instances

PETS = Categories(("cat", "dog"), (17, 18), (True, True))


def as_instances(masks: np.ndarray, class_ids: list[int], scores: list[float], categories: Categories) -> Instances:
    crops = tuple(trim(mask) for mask in masks)
    order = np.argsort(-np.array(scores), kind="stable")
    return Instances(
        size=(masks.shape[1], masks.shape[2]),
        scores=np.array(scores, np.float32),
        class_ids=np.array(class_ids, np.int64),
        boxes=np.array([box(crop) for crop in crops], np.float32).reshape(-1, 4),
        crops=crops,
        categories=categories,
    ).select(order)


def perturbed(labels: InstanceLabels, random: np.random.Generator) -> Instances:
    """Labels with shifted and eroded masks, some lost, some doubled, some of a wrong class, random scores."""
    masks, classes, scores = [], [], []
    for mask, class_id in zip(labels.masks, labels.class_ids, strict=True):
        for _ in range(random.choice([0, 1, 1, 1, 2])):
            moved = np.roll(mask, random.integers(-4, 5, 2), (0, 1))
            moved[:: int(random.integers(2, 30))] = False
            masks.append(moved)
            classes.append(int(class_id) if random.random() < 0.9 else int(random.integers(len(COCO))))
            scores.append(float(random.random()))
    return as_instances(np.array(masks, bool).reshape(-1, *labels.size), classes, scores, COCO)


def by_the_library(json_path: Path, results: list[dict]) -> np.ndarray:
    with contextlib.redirect_stdout(io.StringIO()):
        labels = CocoFile(str(json_path))
        evaluation = COCOeval(labels, labels.loadRes(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def two_hundred_images(folder: Path, target: Path) -> Path:
    """All of val.json and two fully labelled images of train.json."""
    content, train = (json.loads((folder / name).read_text()) for name in ("val.json", "train.json"))
    more = [image for image in train["images"] if len(image["labelled_category_ids"]) == len(COCO)]
    more = more[: 200 - len(content["images"])]
    numbers = {image["id"] for image in more}
    content["images"] += more
    content["annotations"] += [a for a in train["annotations"] if a["image_id"] in numbers]
    target.write_text(json.dumps(content))
    return target


def test_equals_the_library_on_200_real_images(shared_data: Path, tmp_path: Path) -> None:
    json_path = two_hundred_images(shared_data / "coco-lite", tmp_path / "labels.json")
    data = CocoInstances(json_path, shared_data / "coco-lite" / "images")
    metric, results, random = InstanceAP(COCO, data.categories), [], np.random.default_rng(0)
    for index in range(len(data)):
        labels = data.annotations(index)
        found = perturbed(labels, random)
        metric.add(labels, found)
        results += [
            {key: record[key] for key in ("image_id", "category_id", "score", "segmentation")}
            for record in found.to_coco(labels.image_id)
        ]
    report = metric.report()
    library = by_the_library(json_path, results)
    assert 0.1 < report.figures["AP"] < 0.9
    np.testing.assert_array_equal(list(report.figures.values()), library.stats[:9])
    assert report.images == 200
    assert sum(one.count for one in report.classes) > 1741 - 20
    for k, one in enumerate(report.classes):
        curves = library.eval["precision"][:, :, k, 0, 2]
        assert one.figures["AP"] == pytest.approx(curves[curves > -1].mean())


def street(labelled: list[bool] | None = None) -> InstanceLabels:
    """A cat in the left half of a picture of 8 x 8."""
    return InstanceLabels(
        image_id=1,
        size=(8, 8),
        class_ids=np.array([0]),
        is_crowd=np.array([False]),
        areas=np.array([32.0]),
        segmentations=([[0, 0, 4, 0, 4, 8, 0, 8]],),
        labelled=np.array(labelled or [True, True]),
    )


def halves(classes: list[int], categories: Categories = PETS) -> Instances:
    """One instance a class, in the left and the right half in turn, best score first."""
    masks = np.zeros((len(classes), 8, 8), bool)
    for i in range(len(classes)):
        masks[i, :, 4 * (i % 2) : 4 * (i % 2) + 4] = True
    return as_instances(masks, classes, [1 - 0.1 * i for i in range(len(classes))], categories)


def test_a_prediction_of_an_unlabelled_class_is_left_out() -> None:
    metric = InstanceAP(PETS, PETS)
    metric.add(street(), halves([0, 1]))  # the dog is wrong here, but no dog is labelled anywhere
    metric.add(street([True, False]), halves([0, 1]))
    report = metric.report()
    assert report.figures["AP"] == pytest.approx(1)
    assert report.notes == ["predictions left out, as their class is not labelled in the picture: 1"]
    dog_labels = InstanceLabels(**{**vars(street()), "class_ids": np.array([1])})
    metric.add(dog_labels, halves([1]))
    # one dog to find, found; of the two wrong ones only that of the fully labelled picture counts, at a lower score
    assert metric.report().figures["AP"] == pytest.approx(1)
    metric.add(street([True, False]), halves([0, 1]))
    assert metric.report().figures["AP"] == pytest.approx(1)
    metric.add(street(), halves([1]))  # now a wrong dog of the same score comes first in its turn
    assert metric.report().figures["AP"] < 1


def test_classes_are_matched_by_name() -> None:
    metric = InstanceAP(COCO, PETS)
    cat = COCO.index_of["cat"]
    metric.add(street(), halves([cat, COCO.index_of["person"]], COCO))
    report = metric.report()
    assert [one.name for one in report.classes] == ["cat", "dog"]
    assert report.classes[0].figures["AP"] == pytest.approx(1)
    assert math.isnan(report.classes[1].figures["AP"])
    with pytest.raises(UsageError, match="no class in common"):
        InstanceAP(Categories(("sofa",), (1,), (True,)), PETS)


def test_classes_that_the_model_does_not_know_are_not_counted() -> None:
    metric = InstanceAP(Categories(("dog",), (18,), (True,)), PETS)
    metric.add(street(), Instances.empty((8, 8), Categories(("dog",), (18,), (True,))))
    report = metric.report()
    assert [one.name for one in report.classes] == ["dog"]
    assert math.isnan(report.figures["AP"])
    assert report.notes == ["classes of the data that the model does not know are not evaluated, 1 in all: cat"]


def test_nothing_found_is_zero() -> None:
    metric = InstanceAP(PETS, PETS)
    metric.add(street(), Instances.empty((8, 8), PETS))
    assert metric.report().figures["AP"] == 0
