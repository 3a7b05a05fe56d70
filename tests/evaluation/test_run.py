"""From a data set to a report: a segmenter that knows the answer scores one, in every task."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from fastinst_rt.categories import CITYSCAPES, CITYSCAPES_THINGS, Categories
from fastinst_rt.errors import UsageError
from fastinst_rt.evaluation.datasets.cityscapes import Cityscapes
from fastinst_rt.evaluation.datasets.coco import CocoInstances
from fastinst_rt.evaluation.datasets.coco_panoptic import CocoPanoptic
from fastinst_rt.evaluation.run import evaluate, open_data, proof_pictures
from fastinst_rt.postprocess import instances
from fastinst_rt.results import Geometry, Instances

SIZE = (64, 96)
STREET = np.full(SIZE, 7)  # road
STREET[:24] = 23  # sky
STREET[32:56, 8:40] = 26000
STREET[32:56, 48:80] = 26001
STREET[32:40, 80:96] = 1  # void


class Oracle:
    """Says what is labelled: one query a segment; from picture `silent_from` on it says nothing."""

    def __init__(self, data: Cityscapes, categories: Categories = CITYSCAPES, silent_from: int = 99) -> None:
        self.categories = categories
        self._data = data
        self._next, self._silent_from = 0, silent_from

    def outputs(self, image: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, Geometry]:
        labels = self._data.segments(self._next)
        known = [i for i, c in enumerate(labels.class_ids) if CITYSCAPES.names[c] in self.categories.index_of]
        if self._next >= self._silent_from:
            known = []
        self._next += 1
        logits = torch.full((len(known) + 1, len(self.categories) + 1), -10.0)
        logits[-1, -1] = 10
        masks = torch.full((len(known) + 1, SIZE[0] // 8, SIZE[1] // 8), -20.0)
        for query, i in enumerate(known):
            logits[query, self.categories.index_of[CITYSCAPES.names[labels.class_ids[i]]]] = 10
            masks[query][torch.from_numpy(labels.masks()[i][4::8, 4::8])] = 20
        assert image.shape == (*SIZE, 3)
        return logits, masks, Geometry(SIZE, SIZE, SIZE)

    def __call__(self, image: np.ndarray) -> Instances:
        return instances(*self.outputs(image), self.categories, score=0.0)


@pytest.fixture
def city(write_street) -> Cityscapes:
    return Cityscapes(write_street([STREET, STREET[:, ::-1], STREET]))


@pytest.mark.parametrize("task", ["panoptic", "semantic"])
def test_everything_right_scores_nearly_one(city: Cityscapes, task: str) -> None:
    steps = []
    report = evaluate(Oracle(city), task, city, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert report.images == 3
    quality = next(iter(report.figures.values()))
    assert 0.9 < quality <= 1  # enlarging from stride 8 rounds corners
    present = {one.name for one in report.classes if one.count}
    assert present == {"road", "sky", "car"}


@pytest.mark.parametrize("task", ["instance", "cityscapes"])
def test_instances_of_cityscapes(city: Cityscapes, task: str) -> None:
    report = evaluate(Oracle(city, CITYSCAPES_THINGS), task, city)
    assert report.figures["AP50"] == pytest.approx(1)
    silent = evaluate(Oracle(city, CITYSCAPES_THINGS, silent_from=0), task, city)
    assert silent.figures["AP50"] == 0


@pytest.mark.parametrize("task", ["panoptic", "semantic"])
def test_silence_costs(city: Cityscapes, task: str) -> None:
    right = next(iter(evaluate(Oracle(city), task, city).figures.values()))
    half = next(iter(evaluate(Oracle(city, silent_from=1), task, city).figures.values()))
    assert half < 0.7 * right


def test_a_limit_is_noted(city: Cityscapes) -> None:
    report = evaluate(Oracle(city), "semantic", city, limit=2)
    assert report.images == 2
    assert report.notes == ["the first 2 of 3 pictures only"]
    assert evaluate(Oracle(city), "semantic", city, limit=9).notes == []


def test_data_is_opened_for_its_task(write_street, tmp_path: Path) -> None:
    root = write_street([STREET])
    for task in ("instance", "panoptic", "semantic", "cityscapes"):
        assert isinstance(open_data(task, root), Cityscapes)
    categories = [{"id": 1, "name": "car"}]
    (tmp_path / "i.json").write_text(json.dumps({"images": [], "annotations": [], "categories": categories}))
    assert isinstance(open_data("instance", tmp_path / "i.json", tmp_path), CocoInstances)
    assert isinstance(open_data("panoptic", tmp_path / "i.json", tmp_path), CocoPanoptic)
    with pytest.raises(UsageError, match="does not say where its pictures are"):
        open_data("instance", tmp_path / "i.json")
    with pytest.raises(UsageError, match="does not say where its clip is"):
        open_data("clip", tmp_path / "i.json")
    with pytest.raises(UsageError, match="wants a folder with leftImg8bit"):
        open_data("cityscapes", tmp_path / "i.json", tmp_path)
    with pytest.raises(UsageError, match="cannot be measured on CocoPanoptic"):
        evaluate(Oracle(Cityscapes(root)), "cityscapes", open_data("panoptic", tmp_path / "i.json", tmp_path))


def test_pictures_to_prove_an_engine_on_are_spread_over_the_data(write_street, tmp_path: Path) -> None:
    root = write_street([STREET] * 8)
    # the first value of each picture is its number
    assert [int(p[0, 0, 0]) for p in proof_pictures(open_data("cityscapes", root))] == [0, 2, 4, 6]
    assert len(proof_pictures(Cityscapes(root, categories=CITYSCAPES_THINGS))) == 4
    labels = {"width": 8, "height": 8, "category_name": "dog", "frames": []}
    (tmp_path / "clip.json").write_text(json.dumps(labels))
    assert proof_pictures(open_data("clip", tmp_path / "clip.json", tmp_path / "clip.mp4")) == []


def test_coco_panoptic_end_to_end(city: Cityscapes, tmp_path: Path) -> None:
    labels = city.segments(0)
    folder = tmp_path / "panoptic"
    folder.mkdir()
    cv2.imwrite(
        str(folder / "a.png"), np.stack([0 * labels.segment_map] * 2 + [labels.segment_map], -1).astype(np.uint8)
    )
    cv2.imwrite(str(tmp_path / "a.jpg"), city.image(0))
    info = [
        {"id": int(i), "category_id": CITYSCAPES.dataset_ids[c], "iscrowd": 0}
        for i, c in zip(labels.ids, labels.class_ids, strict=True)
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": info}],
        "categories": [
            {"id": i, "name": n, "isthing": int(t)}
            for i, n, t in zip(CITYSCAPES.dataset_ids, CITYSCAPES.names, CITYSCAPES.is_thing, strict=True)
        ],
    }
    (tmp_path / "panoptic.json").write_text(json.dumps(content))
    data = open_data("panoptic", tmp_path / "panoptic.json", tmp_path)
    assert evaluate(Oracle(city), "panoptic", data).figures == pytest.approx(
        evaluate(Oracle(city), "panoptic", city, limit=1).figures
    )
