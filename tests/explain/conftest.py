"""A small network, a drawn picture and labels made for it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.models.zoo import create_model


@pytest.fixture(scope="session")
def net() -> FastInst:
    torch.manual_seed(3)
    return create_model("fastinst-nano")


@pytest.fixture(scope="session")
def image() -> np.ndarray:
    """uint8 [90, 150, 3]: a red disc and a blue box on grey."""
    picture = np.full((90, 150, 3), 128, np.uint8)
    cv2.circle(picture, (40, 45), 25, (0, 0, 255), -1)
    cv2.rectangle(picture, (90, 20), (140, 70), (255, 0, 0), -1)
    return picture


@pytest.fixture
def labelled(tmp_path: Path, image: np.ndarray) -> tuple[Path, Path]:
    """(folder of two pictures, annotation file): a person and a car in the first, nothing in the second."""
    folder = tmp_path / "val"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), image)
    cv2.imwrite(str(folder / "b.png"), np.full((60, 80, 3), 90, np.uint8))

    def box(number: int, category: int, x: int, y: int, w: int, h: int) -> dict[str, object]:
        outline = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        shared = {"id": number, "image_id": 1, "category_id": category, "iscrowd": 0}
        return {**shared, "segmentation": outline, "bbox": [x, y, w, h], "area": w * h}

    content = {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 150, "height": 90},
            {"id": 2, "file_name": "b.png", "width": 80, "height": 60},
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}],
        "annotations": [box(1, 1, 15, 20, 50, 50), box(2, 3, 90, 20, 50, 50)],
    }
    path = folder / "labels.json"
    path.write_text(json.dumps(content))
    return folder, path
