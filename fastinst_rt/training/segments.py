"""Data sets of segments (COCO panoptic, Cityscapes) as training samples: instances, panoptic or semantic."""

from dataclasses import dataclass
from typing import Literal, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from fastinst_rt.categories import Categories
from fastinst_rt.evaluation.datasets.segments import SegmentLabels
from fastinst_rt.training.samples import Sample

Task = Literal["instances", "panoptic", "semantic"]


class SegmentReader(Protocol):
    """What reads such a data set."""

    categories: Categories

    def __len__(self) -> int:
        """Number of pictures."""

    def image(self, index: int) -> npt.NDArray[np.uint8]:
        """uint8 [H, W, 3], BGR."""

    def segments(self, index: int) -> SegmentLabels:
        """The segments of one picture."""


@dataclass(frozen=True)
class SegmentSource:
    """Segments for training; every segment is an "instance" to the network, stuff included.

    Pixels that belong to no class (void) are labelled for none; groups of things that nobody separated (crowd) are
    labelled for all classes but their own. In semantic training a class is one segment, groups included.

    Attributes:
        reader: the data set; its class table has things only for the task "instances".
        task: what is learnt.
    """

    reader: SegmentReader
    task: Task

    @property
    def categories(self) -> Categories:
        """The class table of the reader."""
        return self.reader.categories

    def __len__(self) -> int:
        return len(self.reader)

    def classes_of(self, index: int) -> list[int]:
        """The classes of one picture; reads its labels."""
        return [int(c) for c in np.unique(self.reader.segments(index).class_ids)]

    def __getitem__(self, index: int) -> Sample:
        labels = self.reader.segments(index)
        image = cv2.cvtColor(self.reader.image(index), cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
        masks, class_ids, crowd = labels.masks(), labels.class_ids, labels.is_crowd
        if self.task == "semantic":
            masks, class_ids = merged_by_class(masks, class_ids)
            crowd = np.zeros(len(class_ids), np.bool_)
        everything = np.ones((1, len(self.categories)), np.bool_)
        rows = [everything]
        regions = np.zeros(labels.segment_map.shape, np.uint8)
        if self.task != "instances":  # instance labels leave the background without a class on purpose
            rows.append(~everything)
            regions[labels.segment_map == 0] = 1
        for mask, class_id in zip(masks[crowd], class_ids[crowd], strict=True):
            row = everything.copy()
            row[0, class_id] = False
            regions[mask] = len(rows)
            rows.append(row)
        return Sample(image, class_ids[~crowd], masks[~crowd], np.concatenate(rows), regions)


def merged_by_class(
    masks: npt.NDArray[np.bool_], class_ids: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """One mask a class: masks [n, H, W], class ids [n] -> masks [m, H, W], class ids [m] in rising order."""
    present = np.unique(class_ids)
    merged = np.zeros((len(present), *masks.shape[1:]), np.bool_)
    for target, class_id in zip(merged, present, strict=True):
        target[:] = masks[class_ids == class_id].any(0)
    return merged, present
