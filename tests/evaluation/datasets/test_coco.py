"""COCO instances files: outlines of every kind, crowds, class order, label gaps, errors that name the file."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from fastinst_rt.categories import COCO, Categories
from fastinst_rt.errors import SourceOpenError
from fastinst_rt.evaluation.datasets.coco import CocoInstances

CATEGORIES = [{"id": 7, "name": "cat"}, {"id": 3, "name": "car"}]
SQUARE = [[2, 1, 6, 1, 6, 4, 2, 4]]  # x 2..5, y 1..3


def annotation(number: int, category: int, segmentation: Any, crowd: int = 0) -> dict[str, Any]:
    return {
        "id": number, "image_id": 5, "category_id": category, "segmentation": segmentation, "iscrowd": crowd,
        "area": 12.5, "bbox": [2, 1, 4, 3],
    }  # fmt: skip


def write(folder: Path, annotations: list[dict[str, Any]], **image: Any) -> Path:
    record = {"id": 5, "file_name": "a.png", "width": 8, "height": 6, **image}
    path = folder / "labels.json"
    path.write_text(json.dumps({"images": [record], "annotations": annotations, "categories": CATEGORIES}))
    cv2.imwrite(str(folder / "a.png"), np.full((6, 8, 3), (10, 20, 30), np.uint8))
    return path


def square_mask() -> np.ndarray:
    mask = np.zeros((6, 8), bool)
    mask[1:4, 2:6] = True
    return mask


def test_polygons_and_both_kinds_of_rle_give_the_same_mask(tmp_path: Path) -> None:
    runs = [13, 3, 3, 3, 3, 3, 3, 3, 14]  # columns of 6 pixels, background first
    encoded = coco_mask.encode(np.asfortranarray(square_mask().astype(np.uint8)))
    compressed = {"size": [6, 8], "counts": encoded["counts"].decode()}
    stored = [SQUARE, {"size": [6, 8], "counts": runs}, compressed]
    data = CocoInstances(write(tmp_path, [annotation(i, 7, s) for i, s in enumerate(stored)]), tmp_path)
    labels = data.annotations(0)
    assert labels.masks.shape == (3, 6, 8)
    for mask in labels.masks:
        np.testing.assert_array_equal(mask, square_mask())
    assert labels.areas.tolist() == [12.5] * 3


def test_classes_count_in_the_order_of_their_ids(tmp_path: Path) -> None:
    data = CocoInstances(write(tmp_path, [annotation(1, 7, SQUARE), annotation(2, 3, SQUARE, crowd=1)]), tmp_path)
    assert data.categories.names == ("car", "cat")
    labels = data.annotations(0)
    assert labels.class_ids.tolist() == [1, 0]
    assert labels.is_crowd.tolist() == [False, True]
    assert (labels.image_id, labels.size, len(data), len(labels)) == (5, (6, 8), 1, 2)


def test_annotations_outside_the_class_table_are_left_out(tmp_path: Path) -> None:
    table = Categories(("car",), (3,), (True,))
    data = CocoInstances(write(tmp_path, [annotation(1, 7, SQUARE), annotation(2, 3, SQUARE)]), tmp_path, table)
    assert data.annotations(0).class_ids.tolist() == [0]


def test_label_gaps(tmp_path: Path) -> None:
    everything = CocoInstances(write(tmp_path, []), tmp_path)
    assert everything.labelled(0).all()
    assert everything.annotations(0).masks.shape == (0, 6, 8)
    partly = CocoInstances(write(tmp_path, [], labelled_category_ids=[7]), tmp_path)
    assert partly.labelled(0).tolist() == [False, True]


def test_image_is_bgr_and_must_be_of_the_stated_size(tmp_path: Path) -> None:
    path = write(tmp_path, [])
    np.testing.assert_array_equal(CocoInstances(path, tmp_path).image(0)[0, 0], [10, 20, 30])
    path = write(tmp_path, [], width=9)
    with pytest.raises(SourceOpenError, match=r"a\.png has 8x6 pixels, but its labels are for 9x6"):
        CocoInstances(path, tmp_path).image(0)


@pytest.mark.parametrize(
    ("content", "problem"),
    [("not json", "is not JSON"), ("{}", "'categories' is missing"), ("[]", "is not a COCO instances file")],
)
def test_a_file_that_is_no_instances_file_is_named(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(content)
    with pytest.raises(SourceOpenError, match=problem) as raised:
        CocoInstances(path, tmp_path)
    assert str(path) in raised.value.problem


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceOpenError, match=r"nowhere\.json cannot be read: No such file"):
        CocoInstances(tmp_path / "nowhere.json", tmp_path)
    data = CocoInstances(write(tmp_path, []), tmp_path / "elsewhere")
    with pytest.raises(SourceOpenError, match=r"a\.png cannot be read: No such file"):
        data.image(0)
    (tmp_path / "a.png").write_bytes(b"<html>")
    with pytest.raises(SourceOpenError, match="is not a picture"):
        CocoInstances(tmp_path / "labels.json", tmp_path).image(0)


def test_the_real_validation_file(shared_data: Path) -> None:
    folder = shared_data / "coco-lite"
    data = CocoInstances(folder / "val.json", folder / "images")
    assert data.categories == COCO
    assert len(data) == 198
    labels = [data.annotations(i) for i in range(len(data))]
    assert sum(map(len, labels)) == 1741
    assert sum(int(one.is_crowd.sum()) for one in labels) == 20
    for index in range(0, len(data), 40):
        assert labels[index].masks.shape[1:] == data.image(index).shape[:2]
        # the area of a stored outline and of its raster differ by about half its perimeter at most
        np.testing.assert_allclose(labels[index].masks.sum((1, 2)), labels[index].areas, rtol=0.25, atol=60)


@pytest.mark.parametrize("segmentation", [[], [[1, 1, 5, 5]], {"size": [6, 8]}, None])
def test_an_annotation_without_an_outline_is_named(tmp_path: Path, segmentation: Any) -> None:
    with pytest.raises(SourceOpenError, match=r"annotation 4 .* no outline"):
        CocoInstances(write(tmp_path, [annotation(4, 7, segmentation)]), tmp_path)
