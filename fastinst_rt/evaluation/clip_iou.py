"""Foreground IoU of a labelled clip: how well, frame by frame, the one object is covered that a clip is about."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fastinst_rt.errors import SourceOpenError, UsageError
from fastinst_rt.evaluation.datasets.files import read_json
from fastinst_rt.evaluation.report import Report
from fastinst_rt.results import Instances, Size
from fastinst_rt.rle import RLE, decode
from fastinst_rt.segmenter import Segmenter

Progress = Callable[[int, int], None]
"""Called with the pictures that are done and all there are."""


SCORE = 0.5
"""A clip is judged by the instances that would be shown, not by all there are, as average precision does."""


class Clip:
    """A video with labels: one foreground mask a frame; whatever else the frame shows is not labelled.

    The labels are JSON with `width`, `height`, `category_name` and `frames`, a list of `frame` (index from 0) and
    `segmentation` (compressed RLE).

    Args:
        labels: the JSON file.
        video: the clip.

    Raises:
        SourceOpenError: the labels are missing or of another kind.
    """

    def __init__(self, labels: Path, video: Path) -> None:
        self.video = video
        content = read_json(labels)
        try:
            self.size: Size = (int(content["height"]), int(content["width"]))
            self.class_name = str(content["category_name"])
            self.masks: Mapping[int, RLE] = {int(f["frame"]): f["segmentation"] for f in content["frames"]}
        except (KeyError, TypeError, ValueError) as error:
            raise SourceOpenError(
                f"The file {labels} does not label a clip: {error} is missing or of the wrong kind.",
                "Give a file with width, height, category_name and frames.",
            ) from error

    def __len__(self) -> int:
        """Frames, as far as they are labelled."""
        return max(self.masks, default=-1) + 1


def evaluate_clip(segmenter: Segmenter, clip: Clip, *, limit: int | None, progress: Progress | None) -> Report:
    """`foreground_iou` of what the segmenter finds in the clip (or its first `limit` frames) at a score of 0.5.

    Raises:
        UsageError: the model does not know the class, or the frames are of another size than the labels.
        SourceOpenError: the video cannot be opened.
        SourceLostError: the video breaks off.
    """
    segmenter.score = SCORE
    count = len(clip) if limit is None else min(limit, len(clip))

    def found() -> Iterator[Instances]:
        for number, (_, instances) in enumerate(islice(segmenter.stream(clip.video), count), start=1):
            yield instances
            if progress:
                progress(number, count)

    return foreground_iou(clip, found())


def foreground_iou(labels: Clip, frames: Iterable[Instances]) -> Report:
    """Compare the instances of every frame, in order, with the labelled foreground.

    Other objects of the class may be visible and unlabelled, so precision cannot be measured. `IoU` is that of the best
    instance of the class in each frame, averaged over the frames that have a foreground; a
    frame without an instance counts 0. `IoU together`
    takes all instances of the class as one mask, `recall` is the part of the foreground that they cover, and `change`
    the mean absolute difference of `IoU` from one frame to the next (flicker).

    Raises:
        UsageError: the model does not know the class, or the frames are of another size.
    """
    best, together, recall, came = [], [], [], 0
    for index, found in enumerate(frames):
        if index not in labels.masks:
            continue
        came += 1
        foreground = decode(labels.masks[index])
        if not foreground.any():
            continue
        masks = _masks_of_class(found, labels)
        best.append(max((_iou(mask, foreground) for mask in masks), default=0.0))
        union = masks.any(0)
        together.append(_iou(union, foreground))
        recall.append(float(np.count_nonzero(union & foreground) / np.count_nonzero(foreground)))
    return Report(
        task="clip",
        definition=f"foreground IoU of a labelled clip, class {labels.class_name}",
        images=len(best),
        figures={
            "IoU": _mean(best),
            "IoU together": _mean(together),
            "recall": _mean(recall),
            "change": _mean(np.abs(np.diff(best))),
        },
        notes=[] if came == len(labels.masks) else [f"{len(labels.masks) - came} labelled frames never came"],
    )


def _masks_of_class(found: Instances, labels: Clip) -> Any:
    """bool [n, H, W] of the instances of the labelled class."""
    if labels.class_name not in found.categories.index_of:
        raise UsageError(
            f"The model does not know the class {labels.class_name}.", "Evaluate a model that was trained for it."
        )
    if found.size != labels.size:
        raise UsageError(
            f"The frames have {found.size[1]}x{found.size[0]} pixels, the labels {labels.size[1]}x{labels.size[0]}.",
            "Give the clip that belongs to the labels.",
        )
    wanted = found.class_ids == found.categories.index_of[labels.class_name]
    return found.select(wanted).masks


def _iou(mask: Any, foreground: Any) -> float:
    union = np.count_nonzero(mask | foreground)
    return float(np.count_nonzero(mask & foreground) / union)


def _mean(values: Any) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
