"""The vocabulary every room speaks: Frame, Geometry, MaskCrop, Instances, Timings."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastinst_rt.categories import Categories

Size = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture of a source.

    Attributes:
        index: place in the source, from 0, counting every frame the source delivered (dropped ones too).
        pts: presentation timestamp in units of `time_base`; the source's own number, never recomputed.
        time_base: seconds a pts unit, as the source states it.
        image: uint8 [H, W, 3], BGR, upright (rotation metadata already applied).
        captured_at: `time.monotonic()` when the frame left the decoder or camera; frame age counts from here.
    """

    index: int
    pts: int
    time_base: Fraction
    image: npt.NDArray[np.uint8]
    captured_at: float

    @property
    def seconds(self) -> Fraction:
        """Presentation time in seconds, exact."""
        return self.pts * self.time_base


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds spent on one frame in each stage; 0.0 where a stage did not run."""

    decode: float = 0.0
    resize: float = 0.0
    engine: float = 0.0
    select: float = 0.0
    enlarge: float = 0.0
    overlay: float = 0.0
    encode: float = 0.0

    @property
    def total(self) -> float:
        """Sum over all stages, seconds."""
        return sum(float(getattr(self, f.name)) for f in fields(self))


class Geometry(NamedTuple):
    """How a frame became the network's input: frame -> resized -> padded (bottom and right).

    Each is (height, width) in pixels; `padded` is a multiple of the network's stride.
    """

    frame: Size
    resized: Size
    padded: Size


class MaskCrop(NamedTuple):
    """An instance's mask inside its own rectangle of the frame.

    Attributes:
        left: column of the rectangle's first pixel.
        top: row of the rectangle's first pixel.
        mask: bool [h, w]; outside the rectangle the mask is False. An empty mask has shape [0, 0].
    """

    left: int
    top: int
    mask: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Instances:
    """The instances of one picture, best score first.

    Attributes:
        size: (height, width) of the picture in pixels.
        scores: float32 [N], 0..1, class probability x mean mask probability inside the mask.
        class_ids: int64 [N], index into `categories`.
        boxes: float32 [N, 4], xyxy in pixels, x2 and y2 exclusive, tight around the mask (zeros for an empty mask).
        crops: N mask crops at picture size.
        categories: the class table the ids refer to.
        track_ids: int64 [N], an identity kept over time, or None where nothing tracks.
        timings: what this picture cost.
    """

    size: Size
    scores: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float32]
    crops: tuple[MaskCrop, ...]
    categories: Categories
    track_ids: npt.NDArray[np.int64] | None = None
    timings: Timings = field(default_factory=Timings)

    def __post_init__(self) -> None:
        count = len(self.scores)
        if not (self.scores.shape == self.class_ids.shape == (count,)):
            raise ValueError("scores and class_ids must both have shape [N]")
        if self.boxes.shape != (count, 4) or len(self.crops) != count:
            raise ValueError("boxes must have shape [N, 4] and there must be N crops")
        if self.track_ids is not None and self.track_ids.shape != (count,):
            raise ValueError("track_ids must have shape [N]")

    @classmethod
    def empty(cls, size: Size, categories: Categories, timings: Timings | None = None) -> "Instances":
        """No instance at all, in a picture of `size`."""
        return cls(
            size=size,
            scores=np.zeros(0, np.float32),
            class_ids=np.zeros(0, np.int64),
            boxes=np.zeros((0, 4), np.float32),
            crops=(),
            categories=categories,
            timings=timings or Timings(),
        )

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def class_names(self) -> list[str]:
        """N class names."""
        return [self.categories.names[i] for i in self.class_ids]

    @cached_property
    def masks(self) -> npt.NDArray[np.bool_]:
        """bool [N, H, W] at picture size; made on first use (N x H x W bytes)."""
        full = np.zeros((len(self), *self.size), np.bool_)
        for target, (left, top, mask) in zip(full, self.crops, strict=True):
            target[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
        return full

    @cached_property
    def areas(self) -> npt.NDArray[np.int64]:
        """int64 [N], pixels of each mask."""
        return np.array([np.count_nonzero(crop.mask) for crop in self.crops], np.int64)

    def label_map(self) -> npt.NDArray[np.uint16]:
        """uint16 [H, W]: 0 is background, i + 1 is instance i; where masks overlap the better score wins."""
        labels = np.zeros(self.size, np.uint16)
        for i in reversed(range(len(self))):
            left, top, mask = self.crops[i]
            labels[top : top + mask.shape[0], left : left + mask.shape[1]][mask] = i + 1
        return labels

    def select(self, which: npt.NDArray[Any] | Sequence[int]) -> "Instances":
        """The instances at the given indices (or where a bool [N] is True), in that order."""
        index = np.arange(len(self))[np.asarray(which, dtype=None if len(which) else np.int64)]
        return replace(
            self,
            scores=self.scores[index],
            class_ids=self.class_ids[index],
            boxes=self.boxes[index],
            crops=tuple(self.crops[i] for i in index),
            track_ids=None if self.track_ids is None else self.track_ids[index],
        )

    def to_coco(self, image_id: int | None = None) -> list[dict[str, Any]]:
        """COCO result records: category id of the data set, xywh box, score, compressed RLE as text.

        Args:
            image_id: put into every record when given.
        """
        from fastinst_rt.rle import encode_crop  # pycocotools is only needed by those who ask for RLE

        records: list[dict[str, Any]] = []
        for i, crop in enumerate(self.crops):
            x1, y1, x2, y2 = (float(v) for v in self.boxes[i])
            record: dict[str, Any] = {} if image_id is None else {"image_id": image_id}
            record |= {
                "category_id": self.categories.dataset_ids[int(self.class_ids[i])],
                "category_name": self.categories.names[int(self.class_ids[i])],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": float(self.scores[i]),
                "area": int(self.areas[i]),
                "segmentation": encode_crop(crop, self.size),
            }
            if self.track_ids is not None:
                record["track_id"] = int(self.track_ids[i])
            records.append(record)
        return records
