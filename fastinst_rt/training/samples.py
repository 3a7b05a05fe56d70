"""Training samples: a picture with its instances, as NumPy arrays, and where they come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from fastinst_rt.categories import Categories
from fastinst_rt.evaluation.datasets.coco import CocoInstances


@dataclass(frozen=True)
class Sample:
    """A labelled picture.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        class_ids: int64 [N].
        masks: bool [N, H, W].
        labelled: bool [R, K]: which classes the labels speak about, one row a region (see `targets.Target`).
        regions: uint8 [H, W]: the region of each pixel.
    """

    image: npt.NDArray[np.uint8]
    class_ids: npt.NDArray[np.int64]
    masks: npt.NDArray[np.bool_]
    labelled: npt.NDArray[np.bool_]
    regions: npt.NDArray[np.uint8]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return int(self.image.shape[0]), int(self.image.shape[1])


class SampleSource(Protocol):
    """A labelled data set."""

    @property
    def categories(self) -> Categories:
        """The class table that `Sample.class_ids` refers to."""

    def __len__(self) -> int:
        """Number of pictures."""

    def __getitem__(self, index: int) -> Sample:
        """The sample of one picture."""

    def classes_of(self, index: int) -> Sequence[int]:
        """The classes that occur in one picture, without decoding it."""


@dataclass(frozen=True)
class CocoSource:
    """COCO instances for training.

    Crowd regions are no instances; inside them their class is not labelled. In pictures whose labels miss instances
    of a labelled class (`incomplete`), nothing is labelled outside the instances.

    Attributes:
        reader: the annotation file.
        incomplete: values of an image record's `source` whose labels miss instances.
    """

    reader: CocoInstances
    incomplete: frozenset[str] = frozenset()

    @property
    def categories(self) -> Categories:
        """The class table of the reader."""
        return self.reader.categories

    def __len__(self) -> int:
        return len(self.reader)

    def classes_of(self, index: int) -> Sequence[int]:
        """The classes of the instances (crowds left out) of one picture."""
        labels = self.reader.annotations(index)
        return [int(c) for c in np.unique(labels.class_ids[~labels.is_crowd])]

    def __getitem__(self, index: int) -> Sample:
        labels = self.reader.annotations(index)
        image = cv2.cvtColor(self.reader.image(index), cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
        things = labels.masks[~labels.is_crowd]
        inside = things.any(0)
        rows = [labels.labelled]
        regions = np.zeros(labels.size, np.uint8)
        if self.reader.record(index).get("source") in self.incomplete:
            rows.append(np.zeros_like(labels.labelled))
            regions[~inside] = 1
        for crowd, class_id in zip(labels.masks[labels.is_crowd], labels.class_ids[labels.is_crowd], strict=True):
            row = labels.labelled.copy()
            row[class_id] = False
            regions[crowd & ~inside & (regions == 0)] = len(rows)
            rows.append(row)
        return Sample(image, labels.class_ids[~labels.is_crowd], things, np.stack(rows), regions)
