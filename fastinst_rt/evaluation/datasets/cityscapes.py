"""Cityscapes "gtFine" labels: one 16-bit PNG an image, for instances, segments and semantic maps alike."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from fastinst_rt.categories import CITYSCAPES, Categories
from fastinst_rt.errors import SourceOpenError
from fastinst_rt.evaluation.datasets.coco import InstanceLabels
from fastinst_rt.evaluation.datasets.files import read_image, read_label_image
from fastinst_rt.evaluation.datasets.segments import SegmentLabels
from fastinst_rt.results import MaskCrop
from fastinst_rt.rle import encode_crop

_IMAGE = "_leftImg8bit.png"
_LABELS = "_gtFine_instanceIds.png"
INSTANCES_FROM = 1000
"""Values from here on are separated instances: label id x 1000 + number."""


class Cityscapes:
    """The images and fine labels of one split.

    Layout: `leftImg8bit/SPLIT/CITY/*_leftImg8bit.png` and `gtFine/SPLIT/CITY/*_gtFine_instanceIds.png`. A pixel holds
    a label id, or label id x 1000 + number for a separated instance of a thing (cityscapesScripts, "labels"). A thing
    with a bare label id is a group of instances that nobody separated (crowd).

    Args:
        root: the folder with `leftImg8bit` and `gtFine`.
        split: "train", "val" or "test".
        categories: the class table to count classes by: `CITYSCAPES` or `CITYSCAPES_THINGS`; other labels are void.

    Raises:
        SourceOpenError: there is no labelled picture in that layout.
    """

    def __init__(self, root: Path, split: str = "val", categories: Categories = CITYSCAPES) -> None:
        self.root = Path(root)
        self.categories = categories
        labels = sorted((self.root / "gtFine" / split).glob(f"*/*{_LABELS}"))
        if not labels:
            raise SourceOpenError(
                f"There is no {self.root}/gtFine/{split}/*/*{_LABELS}.",
                "Give the folder that holds leftImg8bit and gtFine.",
            )
        self._labels = labels
        self._images = [
            self.root / "leftImg8bit" / split / path.parent.name / path.name.replace(_LABELS, _IMAGE) for path in labels
        ]
        self._class_of = {number: index for index, number in enumerate(categories.dataset_ids)}

    def __len__(self) -> int:
        return len(self._labels)

    def image(self, index: int) -> npt.NDArray[np.uint8]:
        """uint8 [H, W, 3], BGR.

        Raises:
            SourceOpenError: the picture is missing or damaged.
        """
        return read_image(self._images[index])

    def instance_ids(self, index: int) -> npt.NDArray[np.int32]:
        """int32 [H, W], as stored: label id, or label id x 1000 + number.

        Raises:
            SourceOpenError: the PNG is missing, damaged or no map of ids.
        """
        stored = read_label_image(self._labels[index])
        if stored.ndim != 2:
            raise SourceOpenError(f"The PNG {self._labels[index]} is no map of instance ids.", "Fetch the file again.")
        return stored.astype(np.int32)

    def segments(self, index: int) -> SegmentLabels:
        """Segments for panoptic evaluation and training; stuff of one label is one segment."""
        stored = self.instance_ids(index)
        values, places = np.unique(stored, return_inverse=True)
        classes = [self._class_of.get(int(label_of(value)), -1) for value in values]
        known = np.array([c >= 0 for c in classes], np.bool_)
        numbers = np.where(known, np.cumsum(known), 0).astype(np.int32)
        class_ids = np.array(classes, np.int64)[known]
        things = np.array([self.categories.is_thing[c] for c in class_ids], np.bool_)
        return SegmentLabels(
            segment_map=numbers[places].reshape(stored.shape),
            ids=np.arange(1, known.sum() + 1),
            class_ids=class_ids,
            is_crowd=things & (values[known] < INSTANCES_FROM),
            categories=self.categories,
        )

    def annotations(self, index: int) -> InstanceLabels:
        """The things as instance labels; groups are crowds."""
        segments = self.segments(index)
        things = np.array([self.categories.is_thing[c] for c in segments.class_ids], np.bool_)
        size = (segments.segment_map.shape[0], segments.segment_map.shape[1])
        masks = segments.masks()[things]
        return InstanceLabels(
            image_id=index,
            size=size,
            class_ids=segments.class_ids[things],
            is_crowd=segments.is_crowd[things],
            areas=masks.sum((1, 2)).astype(np.float64),
            segmentations=tuple(encode_crop(MaskCrop(0, 0, mask), size) for mask in masks),
            labelled=np.ones(len(self.categories), np.bool_),
        )


def label_of(instance_ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Label ids of stored values."""
    return np.where(instance_ids >= INSTANCES_FROM, instance_ids // INSTANCES_FROM, instance_ids)
