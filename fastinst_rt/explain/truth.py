"""The labels that figures are drawn against, whatever file they came from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fastinst_rt.categories import Categories
from fastinst_rt.errors import UsageError
from fastinst_rt.evaluation.datasets.coco import CocoInstances, InstanceLabels


@dataclass(frozen=True)
class Truth:
    """The labelled instances of one picture.

    Attributes:
        class_ids: int64 [n], class indices of the network.
        masks: bool [n, H, W].
        crowd: bool [H, W], regions whose instances nobody separated.
        labelled: bool [K], classes whose instances are labelled in this picture.
        categories: the class table.
    """

    class_ids: npt.NDArray[np.int64]
    masks: npt.NDArray[np.bool_]
    crowd: npt.NDArray[np.bool_]
    labelled: npt.NDArray[np.bool_]
    categories: Categories

    def __len__(self) -> int:
        return len(self.class_ids)


def truth_of(labels: InstanceLabels, categories: Categories) -> Truth:
    """Single instances and crowd regions of one picture, apart."""
    crowd = np.zeros(labels.size, np.bool_)
    for mask in labels.masks[labels.is_crowd]:
        crowd |= mask
    single = ~labels.is_crowd
    return Truth(labels.class_ids[single], labels.masks[single], crowd, labels.labelled, categories)


class Labels:
    """A COCO instances file, asked by picture.

    Args:
        path: the annotation file.
        pictures: folder of the pictures.
        categories: the network's class table; annotations of other classes are left out.
    """

    def __init__(self, path: Path, pictures: Path, categories: Categories) -> None:
        self.path = path
        self.data = CocoInstances(path, pictures, categories)
        self._index = {self.data.path(i).name: i for i in range(len(self.data))}

    def of(self, picture: Path) -> Truth:
        """The labels of a picture, found by its file name.

        Raises:
            UsageError: if the file does not know the picture.
        """
        if picture.name not in self._index:
            raise UsageError(
                f"{self.path} has no labels for {picture.name}.", "Give pictures of that data set, or leave --gt out."
            )
        return truth_of(self.data.annotations(self._index[picture.name]), self.data.categories)

    def __contains__(self, picture: Path) -> bool:
        return picture.name in self._index
