"""Cityscapes' instance-id maps: instances, groups, stuff, void."""

from pathlib import Path

import numpy as np
import pytest

from fastinst_rt.categories import CITYSCAPES, CITYSCAPES_THINGS
from fastinst_rt.errors import SourceOpenError
from fastinst_rt.evaluation.datasets.cityscapes import Cityscapes
from fastinst_rt.evaluation.datasets.segments import IGNORE

# road, two cars, a group of persons, ego vehicle (label 1: void)
IDS = np.array([[7, 7, 26000, 26001], [7, 24, 24, 1]])


def test_segments(write_street) -> None:
    data = Cityscapes(write_street([IDS]))
    labels = data.segments(0)
    names = [CITYSCAPES.names[c] for c in labels.class_ids]
    assert names == ["road", "person", "car", "car"]
    assert labels.is_crowd.tolist() == [False, True, False, False]
    np.testing.assert_array_equal(labels.segment_map, [[1, 1, 3, 4], [1, 2, 2, 0]])
    road, person, car = (CITYSCAPES.index_of[name] for name in ("road", "person", "car"))
    np.testing.assert_array_equal(labels.semantic_map(), [[road, road, car, car], [road, person, person, IGNORE]])


def test_things_only(write_street) -> None:
    labels = Cityscapes(write_street([IDS]), categories=CITYSCAPES_THINGS).annotations(0)
    assert [CITYSCAPES_THINGS.names[c] for c in labels.class_ids] == ["person", "car", "car"]
    assert labels.is_crowd.tolist() == [True, False, False]
    assert labels.areas.tolist() == [2, 1, 1]
    np.testing.assert_array_equal(labels.masks[1], IDS == 26000)
    # the same things come out of the table with stuff
    assert Cityscapes(write_street([IDS])).annotations(0).areas.tolist() == [2, 1, 1]


def test_images_go_with_their_labels(write_street) -> None:
    data = Cityscapes(write_street([IDS, IDS + 1, IDS]))
    assert len(data) == 3
    assert [int(data.image(i)[0, 0, 0]) for i in range(3)] == [0, 1, 2]


def test_another_layout_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceOpenError, match=r"There is no .*gtFine/val/"):
        Cityscapes(tmp_path)
