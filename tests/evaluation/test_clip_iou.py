"""Foreground IoU of a labelled clip, worked out by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from fastinst_rt.categories import COCO, Categories
from fastinst_rt.errors import SourceOpenError, UsageError
from fastinst_rt.evaluation.clip_iou import Clip, evaluate_clip, foreground_iou
from fastinst_rt.postprocess.enlarge import box, trim
from fastinst_rt.results import Instances, MaskCrop
from fastinst_rt.rle import encode_crop

SIZE = (10, 100)


def span(start: int, stop: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[:, start:stop] = True
    return mask


@pytest.fixture
def labels(tmp_path: Path) -> Clip:
    """A dog at columns 0..19 in frames 0, 1 and 3; frame 2 has no label and frame 4 no dog."""
    masks = {0: span(0, 20), 1: span(0, 20), 3: span(0, 20), 4: span(0, 0)}
    frames = [{"frame": i, "segmentation": encode_crop(MaskCrop(0, 0, m), SIZE)} for i, m in masks.items()]
    path = tmp_path / "clip.json"
    path.write_text(json.dumps({"width": 100, "height": 10, "category_name": "dog", "frames": frames}))
    return Clip(path, tmp_path / "clip.mp4")


def found(*masks: np.ndarray, name: str = "dog", size: tuple[int, int] = SIZE) -> Instances:
    crops = tuple(trim(mask) for mask in masks)
    return Instances(
        size=size,
        scores=np.ones(len(masks), np.float32),
        class_ids=np.full(len(masks), COCO.index_of[name]),
        boxes=np.array([box(crop) for crop in crops], np.float32).reshape(-1, 4),
        crops=crops,
        categories=COCO,
    )


def test_by_hand(labels: Clip) -> None:
    frames = [
        found(span(0, 10), span(10, 20), span(60, 80)),  # best 1/2, together 20/40, all covered
        found(span(0, 16)),  # 16/20
        found(span(50, 60)),  # not labelled
        found(span(0, 20), name="cat"),  # another class: nothing
        found(),
    ]
    report = foreground_iou(labels, frames)
    assert report.figures == pytest.approx(
        {
            "IoU": (0.5 + 0.8 + 0) / 3,
            "IoU together": (0.5 + 0.8 + 0) / 3,
            "recall": (1 + 0.8) / 3,
            "change": (0.3 + 0.8) / 2,
        }
    )
    assert report.images == 3
    assert report.notes == []


def test_a_clip_that_ends_early_is_noted(labels: Clip) -> None:
    assert foreground_iou(labels, [found(span(0, 20))]).notes == ["3 labelled frames never came"]


def test_what_does_not_fit_is_said(labels: Clip, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="frames have 50x10 pixels, the labels 100x10"):
        foreground_iou(labels, [found(size=(10, 50))])
    with pytest.raises(UsageError, match="does not know the class dog"):
        foreground_iou(labels, [Instances.empty(SIZE, Categories(("cat",), (1,), (True,)))])
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(SourceOpenError, match="does not label a clip"):
        Clip(tmp_path / "other.json", tmp_path / "clip.mp4")


def test_a_clip_is_judged_by_what_would_be_shown(labels: Clip) -> None:
    class Shown:
        score = 0.0
        seen: Path

        def stream(self, video: Path):
            self.seen = video
            yield from [(None, found(span(0, 20)))] * 9

    segmenter, steps = Shown(), []
    report = evaluate_clip(segmenter, labels, limit=2, progress=lambda done, total: steps.append((done, total)))
    assert (segmenter.score, segmenter.seen) == (0.5, labels.video)
    assert steps == [(1, 2), (2, 2)]
    assert (report.figures["IoU"], report.images) == (1, 2)
