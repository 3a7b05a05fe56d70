"""COCO "instances" files: polygons, RLE (crowd or not), crowd flags, and classes labelled in part of the images."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from fastinst_rt.categories import Categories
from fastinst_rt.errors import SourceOpenError
from fastinst_rt.evaluation.datasets.files import read_image, read_json
from fastinst_rt.results import Size
from fastinst_rt.rle import RLE, decode


@dataclass(frozen=True)
class InstanceLabels:
    """What is labelled in one image.

    Attributes:
        image_id: the data set's id of the image.
        size: (height, width) in pixels.
        class_ids: int64 [n], index into the data set's `categories`.
        is_crowd: bool [n], True for a region of many instances that nobody separated.
        areas: float64 [n], area in pixels as the file states it (that of the polygon, not of its raster).
        segmentations: n outlines as stored (polygons, or RLE).
        labelled: bool [K], False for a class that may be visible in the image and carry no label.
    """

    image_id: int
    size: Size
    class_ids: npt.NDArray[np.int64]
    is_crowd: npt.NDArray[np.bool_]
    areas: npt.NDArray[np.float64]
    segmentations: tuple[Any, ...]
    labelled: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.class_ids)

    @cached_property
    def rles(self) -> tuple[RLE, ...]:
        """n compressed RLEs; made on first use."""
        return tuple(to_rle(segmentation, self.size) for segmentation in self.segmentations)

    @cached_property
    def masks(self) -> npt.NDArray[np.bool_]:
        """bool [n, H, W]; made on first use."""
        full = np.zeros((len(self), *self.size), np.bool_)
        for target, rle in zip(full, self.rles, strict=True):
            target[:] = decode(rle)
        return full


class CocoInstances:
    """The images and instance labels of a COCO "instances" file.

    Source: cocodataset.org, "Data format". Beyond the format, an image record may carry `labelled_category_ids`: the
    categories that are labelled in this image (all where it is absent).

    Args:
        json_path: the annotation file.
        image_dir: the folder that `file_name` is relative to.
        categories: the class table to count classes by; annotations of other categories are left out. By default
            the file's own categories in the order of their ids.

    Raises:
        SourceOpenError: the file is missing or not an instances file, or an annotation of it has no outline.
    """

    def __init__(self, json_path: Path, image_dir: Path, categories: Categories | None = None) -> None:
        self.json_path = Path(json_path)
        self.image_dir = Path(image_dir)
        content = read_json(self.json_path)
        try:
            self.categories = categories or categories_of(content["categories"])
            self._images: list[Mapping[str, Any]] = list(content["images"])
            self._annotations: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
            self._class_of = {number: index for index, number in enumerate(self.categories.dataset_ids)}
            for annotation in content["annotations"]:
                if annotation["category_id"] in self._class_of:
                    self._check(annotation)
                    self._annotations[annotation["image_id"]].append(annotation)
        except (KeyError, TypeError) as error:
            raise SourceOpenError(
                f"The file {self.json_path} is not a COCO instances file: {error} is missing or of the wrong kind.",
                "Give a file with the lists images, annotations and categories, such as instances_val2017.json.",
            ) from error

    def _check(self, annotation: Mapping[str, Any]) -> None:
        if not _is_outline(annotation["segmentation"]) or not isinstance(annotation["area"], int | float):
            raise SourceOpenError(
                f"The annotation {annotation.get('id', 'without id')} in {self.json_path} has no outline or no area; "
                "boxes alone do not say where an instance is.",
                "Remove it, or give its segmentation (polygons of three points or more, or RLE) and its area.",
            )

    def __len__(self) -> int:
        return len(self._images)

    def image_id(self, index: int) -> int:
        """The data set's id of image `index`."""
        return int(self._images[index]["id"])

    def record(self, index: int) -> Mapping[str, Any]:
        """The image record as stored, with whatever extra fields it carries."""
        return self._images[index]

    def size(self, index: int) -> Size:
        """(height, width) of image `index` as the file states it."""
        return int(self._images[index]["height"]), int(self._images[index]["width"])

    def path(self, index: int) -> Path:
        """The picture file of image `index`."""
        return self.image_dir / str(self._images[index]["file_name"])

    def image(self, index: int) -> npt.NDArray[np.uint8]:
        """uint8 [H, W, 3], BGR.

        Raises:
            SourceOpenError: the picture is missing, damaged, or not of the size that the annotations are for.
        """
        image = read_image(self.path(index))
        if image.shape[:2] != self.size(index):
            height, width = self.size(index)
            raise SourceOpenError(
                f"The picture {self.path(index)} has {image.shape[1]}x{image.shape[0]} pixels, but its labels are for "
                f"{width}x{height}.",
                "Check that --images is the folder that belongs to the annotation file.",
            )
        return image

    def labelled(self, index: int) -> npt.NDArray[np.bool_]:
        """bool [K]: the classes whose instances are labelled in image `index`."""
        numbers = self._images[index].get("labelled_category_ids")
        if numbers is None:
            return np.ones(len(self.categories), np.bool_)
        wanted = set(numbers)
        return np.array([number in wanted for number in self.categories.dataset_ids], np.bool_)

    def annotations(self, index: int) -> InstanceLabels:
        """The instance labels of image `index`, in the order of the file."""
        found = self._annotations.get(self.image_id(index), [])
        return InstanceLabels(
            image_id=self.image_id(index),
            size=self.size(index),
            class_ids=np.array([self._class_of[a["category_id"]] for a in found], np.int64),
            is_crowd=np.array([bool(a.get("iscrowd", 0)) for a in found], np.bool_),
            areas=np.array([a["area"] for a in found], np.float64),
            segmentations=tuple(a["segmentation"] for a in found),
            labelled=self.labelled(index),
        )


def _is_outline(segmentation: Any) -> bool:
    """Whether it is what `to_rle` takes."""
    if isinstance(segmentation, list):
        return bool(segmentation) and all(isinstance(p, list) and len(p) >= 6 for p in segmentation)
    return isinstance(segmentation, dict) and "counts" in segmentation


def to_rle(segmentation: Any, size: Size) -> RLE:
    """Compressed RLE of a COCO segmentation: a list of polygons, an uncompressed or a compressed RLE.

    Args:
        segmentation: as stored in the file.
        size: (height, width) of the image in pixels.
    """
    height, width = size
    if isinstance(segmentation, list):
        encoded = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        encoded = coco_mask.frPyObjects(segmentation, height, width)
    else:
        return cast(RLE, segmentation)
    return {"size": [height, width], "counts": encoded["counts"].decode("ascii")}


def categories_of(records: list[Mapping[str, Any]]) -> Categories:
    """The class table of a file's category records, in the order of their ids."""
    ordered = sorted(records, key=lambda record: int(record["id"]))
    return Categories(
        names=tuple(str(record["name"]) for record in ordered),
        dataset_ids=tuple(int(record["id"]) for record in ordered),
        is_thing=tuple(bool(record.get("isthing", 1)) for record in ordered),
    )
