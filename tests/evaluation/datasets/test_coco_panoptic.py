"""COCO panoptic files: ids from colours, void, crowds, other class tables, errors."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from fastinst_rt.categories import Categories
from fastinst_rt.errors import SourceOpenError
from fastinst_rt.evaluation.datasets.coco_panoptic import CocoPanoptic
from fastinst_rt.evaluation.datasets.segments import IGNORE

IDS = np.array([[0, 5, 5], [70_000, 300, 300]], np.int64)


def write(folder: Path) -> Path:
    segments = [
        {"id": 5, "category_id": 1, "iscrowd": 0},
        {"id": 300, "category_id": 1, "iscrowd": 1},
        {"id": 70_000, "category_id": 9, "iscrowd": 0},
    ]
    content = {
        "images": [{"id": 3, "file_name": "a.jpg"}],
        "annotations": [{"image_id": 3, "file_name": "a.png", "segments_info": segments}],
        "categories": [{"id": 9, "name": "sky", "isthing": 0}, {"id": 1, "name": "car", "isthing": 1}],
    }
    path = folder / "panoptic_val.json"
    path.write_text(json.dumps(content))
    (folder / "panoptic_val").mkdir()
    bgr = np.stack([IDS // 65536, IDS // 256 % 256, IDS % 256], -1).astype(np.uint8)
    cv2.imwrite(str(folder / "panoptic_val" / "a.png"), bgr)
    cv2.imwrite(str(folder / "a.jpg"), np.zeros((2, 3, 3), np.uint8))
    return path


def test_ids_classes_and_void(tmp_path: Path) -> None:
    data = CocoPanoptic(write(tmp_path), tmp_path)
    assert data.categories == Categories(("car", "sky"), (1, 9), (True, False))
    assert (len(data), data.image_id(0), data.image(0).shape) == (1, 3, (2, 3, 3))
    labels = data.segments(0)
    np.testing.assert_array_equal(labels.segment_map, [[0, 1, 1], [3, 2, 2]])
    assert labels.ids.tolist() == [1, 2, 3]
    assert labels.class_ids.tolist() == [0, 0, 1]
    assert labels.is_crowd.tolist() == [False, True, False]
    np.testing.assert_array_equal(labels.semantic_map(), [[IGNORE, 0, 0], [1, 0, 0]])
    assert labels.masks().sum((1, 2)).tolist() == [2, 2, 1]


def test_classes_outside_the_table_are_void(tmp_path: Path) -> None:
    labels = CocoPanoptic(write(tmp_path), tmp_path, categories=Categories(("sky",), (9,), (False,))).segments(0)
    np.testing.assert_array_equal(labels.segment_map, [[0, 0, 0], [1, 0, 0]])


def test_wrong_files_are_named(tmp_path: Path) -> None:
    path = write(tmp_path)
    cv2.imwrite(str(tmp_path / "panoptic_val" / "a.png"), np.zeros((2, 3), np.uint8))
    with pytest.raises(SourceOpenError, match=r"a\.png has no colours"):
        CocoPanoptic(path, tmp_path).segments(0)
    path.write_text(json.dumps({"images": [], "categories": [], "annotations": [{"image_id": 1}]}))
    with pytest.raises(SourceOpenError, match="is not a COCO panoptic file"):
        CocoPanoptic(path, tmp_path)
