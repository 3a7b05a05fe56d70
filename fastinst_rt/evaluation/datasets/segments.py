"""Labels that give every pixel at most one segment: what panoptic and semantic evaluation compare with."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastinst_rt.categories import Categories

IGNORE = 255
"""Value of pixels without a label in a semantic map."""


@dataclass(frozen=True)
class SegmentLabels:
    """The segments of one image.

    Attributes:
        segment_map: int32 [H, W], the id of each pixel's segment; 0 where nothing is labelled (void).
        ids: int64 [n], the ids that occur, none of them 0.
        class_ids: int64 [n], index into `categories`.
        is_crowd: bool [n], True for a region of many instances of a thing that nobody separated.
        categories: the class table.
    """

    segment_map: npt.NDArray[np.int32]
    ids: npt.NDArray[np.int64]
    class_ids: npt.NDArray[np.int64]
    is_crowd: npt.NDArray[np.bool_]
    categories: Categories

    def __len__(self) -> int:
        return len(self.ids)

    def semantic_map(self) -> npt.NDArray[np.uint8]:
        """uint8 [H, W], the class of each pixel, `IGNORE` where nothing is labelled; crowds have their class."""
        classes = np.full(self.segment_map.max(initial=0) + 1, IGNORE, np.uint8)
        classes[self.ids] = self.class_ids
        return classes[self.segment_map]

    def masks(self) -> npt.NDArray[np.bool_]:
        """bool [n, H, W], one a segment."""
        masks: npt.NDArray[np.bool_] = self.segment_map == self.ids.astype(np.int32)[:, None, None]
        return masks
