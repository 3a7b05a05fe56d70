"""Resize rules and resizes."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from fastinst_rt.errors import UsageError
from fastinst_rt.preprocess import geometry, padded_size, resize_exact, resize_fast, resize_rule


@pytest.mark.parametrize(
    ("frame", "sides", "resized", "padded"),
    [
        ((480, 640), (640, 853), (640, 853), (640, 864)),
        ((333, 500), (576, 777), (517, 777), (544, 800)),
        ((333, 500), (640, 853), (568, 853), (576, 864)),
        ((1080, 1920), (576, 777), (437, 777), (448, 800)),
        ((1080, 1920), (640, 853), (480, 853), (480, 864)),
        ((1920, 1080), (640, 853), (853, 480), (864, 480)),
        ((1024, 2048), (1024, 2048), (1024, 2048), (1024, 2048)),
        ((1, 1), (576, 777), (576, 576), (576, 576)),
        ((30, 8000), (576, 777), (3, 777), (32, 800)),
        ((1, 8000), (576, 777), (1, 777), (32, 800)),
    ],
)
def test_published_sizes(
    frame: tuple[int, int], sides: tuple[int, int], resized: tuple[int, int], padded: tuple[int, int]
) -> None:
    shape = geometry(frame, *sides)
    assert (shape.frame, shape.resized, shape.padded) == (frame, resized, padded)


def test_no_pixels() -> None:
    with pytest.raises(UsageError, match="no pixels"):
        resize_rule(0, 5, 576, 777)


@pytest.mark.parametrize("case", ["fastinst_R50_ppm-fpn_x1_576", "fastinst_R50_ppm-fpn_x3_640"])
def test_exact_resize_gives_the_published_bytes(oracle: Path, case: str) -> None:
    image = cv2.imread(str(oracle / "cases" / "image_a.png"))
    with np.load(oracle / "cases" / f"{case}.a.npz") as reference:
        resized = resize_exact(image, tuple(reference["resized_hw"].tolist()))
        planes = np.ascontiguousarray(resized.transpose(2, 0, 1))
        assert hashlib.sha256(planes.tobytes()).digest() == reference["resized_sha256"].tobytes()
        assert padded_size(resized.shape[:2]) == tuple(reference["padded_hw"].tolist())


@pytest.mark.parametrize("size", [(576, 768), (480, 640), (234, 312), (100, 131), (1, 1)])
def test_fast_resize_is_close_to_the_exact_one(oracle: Path, size: tuple[int, int]) -> None:
    image = cv2.imread(str(oracle / "cases" / "image_a.png"))
    exact, fast = resize_exact(image, size), resize_fast(image, size)
    assert fast.shape == exact.shape
    assert fast.dtype == np.uint8
    assert np.abs(fast.astype(int) - exact).mean() < 6
