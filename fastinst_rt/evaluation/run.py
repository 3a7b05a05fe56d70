"""An evaluation from a data set to a report, through whatever engine the segmenter has."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from fastinst_rt.errors import UsageError
from fastinst_rt.evaluation.cityscapes_ap import CityscapesAP
from fastinst_rt.evaluation.clip_iou import Clip, Progress, evaluate_clip
from fastinst_rt.evaluation.datasets.cityscapes import Cityscapes
from fastinst_rt.evaluation.datasets.coco import CocoInstances
from fastinst_rt.evaluation.datasets.coco_panoptic import CocoPanoptic
from fastinst_rt.evaluation.instance_ap import InstanceAP
from fastinst_rt.evaluation.mean_iou import MeanIoU
from fastinst_rt.evaluation.panoptic_quality import PanopticQuality
from fastinst_rt.evaluation.report import Report
from fastinst_rt.postprocess import panoptic, semantic
from fastinst_rt.segmenter import Segmenter

Task = Literal["instance", "panoptic", "semantic", "cityscapes", "clip"]
TASKS: tuple[Task, ...] = get_args(Task)

PROOF_PICTURES = 4

Data = CocoInstances | CocoPanoptic | Cityscapes | Clip


def open_data(task: Task, data: Path, images: Path | None = None, split: str = "val") -> Data:
    """The data set for a task.

    Args:
        task: what is to be measured.
        data: a COCO file (instances or panoptic, as the task wants it), the root folder of Cityscapes, or the labels of
            a clip.
        images: folder of the pictures of a COCO file, or the clip.
        split: of Cityscapes.

    Raises:
        UsageError: the task does not go with this kind of data, or the picture folder is not given.
        SourceOpenError: the labels cannot be read.
    """
    if data.is_dir():
        return Cityscapes(data, split)
    if task == "cityscapes":
        raise UsageError(
            f"The task cityscapes wants a folder with leftImg8bit and gtFine, not {data}.",
            "Give that folder to --data.",
        )
    if images is None:
        what = "clip is" if task == "clip" else "pictures are"
        raise UsageError(f"The file {data} does not say where its {what}.", "Give the place with --images.")
    if task == "clip":
        return Clip(data, images)
    return CocoInstances(data, images) if task == "instance" else CocoPanoptic(data, images)


def proof_pictures(data: Data) -> list[npt.NDArray[np.uint8]]:
    """Pictures to prove a new engine on: four of the data set, evenly spread, uint8 [H, W, 3] BGR; none of a clip."""
    if isinstance(data, Clip):
        return []
    count = min(PROOF_PICTURES, len(data))
    return [data.image(index * len(data) // count) for index in range(count)]


def evaluate(
    segmenter: Segmenter, task: Task, data: Data, *, limit: int | None = None, progress: Progress | None = None
) -> Report:
    """Run every picture (or the first `limit`) through the segmenter and measure.

    Args:
        segmenter: for instances it should keep all scores (`score=0`), as `engines.open_segmenter` makes it.
        task: what to measure.
        data: as `open_data` gives it for this task.
        limit: pictures.
        progress: called after each picture.

    Raises:
        UsageError: the model and the data have no class in common, or the data is not for this task.
        SourceOpenError: a picture or its labels cannot be read.
    """
    if isinstance(data, Clip):
        return evaluate_clip(segmenter, data, limit=limit, progress=progress)
    add, report = _measure(segmenter, task, data)
    count = len(data) if limit is None else min(limit, len(data))
    for index in range(count):
        add(index)
        if progress:
            progress(index + 1, count)
    found = report()
    if count < len(data):
        found = replace(found, notes=[*found.notes, f"the first {count} of {len(data)} pictures only"])
    return found


def _measure(
    segmenter: Segmenter, task: Task, data: CocoInstances | CocoPanoptic | Cityscapes
) -> tuple[Callable[[int], None], Callable[[], Report]]:
    """What to do with picture `index`, and how to get the report in the end."""
    model = segmenter.categories
    if task == "instance" and isinstance(data, CocoInstances | Cityscapes):
        instance_ap = InstanceAP(model, data.categories)
        return lambda i: instance_ap.add(data.annotations(i), segmenter(data.image(i))), instance_ap.report
    if task == "cityscapes" and isinstance(data, Cityscapes):
        city = CityscapesAP(model)
        return lambda i: city.add(data.instance_ids(i), segmenter(data.image(i))), city.report
    if task == "panoptic" and isinstance(data, CocoPanoptic | Cityscapes):
        quality = PanopticQuality(model, data.categories)
        return lambda i: quality.add(
            data.segments(i), panoptic(*segmenter.outputs(data.image(i)), model)
        ), quality.report
    if task == "semantic" and isinstance(data, CocoPanoptic | Cityscapes):
        iou = MeanIoU(model, data.categories)
        return (
            lambda i: iou.add(data.segments(i).semantic_map(), semantic(*segmenter.outputs(data.image(i)))),
            iou.report,
        )
    raise UsageError(
        f"The task {task} cannot be measured on {type(data).__name__}.", f"Give --task one of {', '.join(TASKS)}."
    )
