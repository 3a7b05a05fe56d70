"""COCO "panoptic" files: a JSON of segments and one PNG an image whose colours are segment ids."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastinst_rt.categories import Categories
from fastinst_rt.errors import SourceOpenError
from fastinst_rt.evaluation.datasets.coco import categories_of
from fastinst_rt.evaluation.datasets.files import read_image, read_json, read_label_image
from fastinst_rt.evaluation.datasets.segments import SegmentLabels


class CocoPanoptic:
    """The images and segment labels of a COCO "panoptic" file.

    Source: cocodataset.org, "Data format", 4. Panoptic Segmentation: a segment's id is R + 256 G + 65536 B.

    Args:
        json_path: the annotation file.
        image_dir: the folder of the pictures.
        panoptic_dir: the folder of the PNGs; default: named like the annotation file, beside it.
        categories: the class table to count classes by; segments of other categories become void. By default the
            file's own categories in the order of their ids.

    Raises:
        SourceOpenError: the file is missing or not a panoptic file.
    """

    def __init__(
        self,
        json_path: Path,
        image_dir: Path,
        panoptic_dir: Path | None = None,
        categories: Categories | None = None,
    ) -> None:
        self.json_path = Path(json_path)
        self.image_dir = Path(image_dir)
        self.panoptic_dir = Path(panoptic_dir) if panoptic_dir is not None else self.json_path.with_suffix("")
        content = read_json(self.json_path)
        try:
            self.categories = categories or categories_of(content["categories"])
            self._annotations: list[Mapping[str, Any]] = list(content["annotations"])
            images = {image["id"]: image for image in content["images"]}
            self._images: list[Mapping[str, Any]] = [images[a["image_id"]] for a in self._annotations]
            _ = [a["segments_info"] for a in self._annotations]
        except (KeyError, TypeError) as error:
            raise SourceOpenError(
                f"The file {self.json_path} is not a COCO panoptic file: {error} is missing or of the wrong kind.",
                "Give a file with images, categories and annotations with segments_info, e.g. panoptic_val2017.json.",
            ) from error
        self._class_of = {number: index for index, number in enumerate(self.categories.dataset_ids)}

    def __len__(self) -> int:
        return len(self._annotations)

    def image_id(self, index: int) -> int:
        """The data set's id of image `index`."""
        return int(self._annotations[index]["image_id"])

    def image(self, index: int) -> npt.NDArray[np.uint8]:
        """uint8 [H, W, 3], BGR.

        Raises:
            SourceOpenError: the picture is missing or damaged.
        """
        return read_image(self.image_dir / str(self._images[index]["file_name"]))

    def segments(self, index: int) -> SegmentLabels:
        """The segments of image `index`.

        Raises:
            SourceOpenError: the PNG is missing or damaged.
        """
        annotation = self._annotations[index]
        path = self.panoptic_dir / str(annotation["file_name"])
        colours = read_label_image(path)
        if colours.ndim != 3 or colours.shape[2] < 3:
            raise SourceOpenError(f"The PNG {path} has no colours to read segment ids from.", "Fetch the file again.")
        blue, green, red = (colours[..., c].astype(np.int32) for c in range(3))
        stored = red + 256 * green + 65536 * blue
        known = [s for s in annotation["segments_info"] if s["category_id"] in self._class_of]
        # ids of colours run up to 2^24: numbering them from 1 lets tables be made by id
        segment_map = np.zeros(stored.shape, np.int32)
        values, places = np.unique(stored, return_inverse=True)
        number_of = {int(s["id"]): n for n, s in enumerate(known, start=1)}
        segment_map[:] = np.array([number_of.get(int(v), 0) for v in values], np.int32)[places].reshape(stored.shape)
        return SegmentLabels(
            segment_map=segment_map,
            ids=np.arange(1, len(known) + 1),
            class_ids=np.array([self._class_of[s["category_id"]] for s in known], np.int64),
            is_crowd=np.array([bool(s.get("iscrowd", 0)) for s in known], np.bool_),
            categories=self.categories,
        )
