"""A made-up street in the Cityscapes layout."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

StreetWriter = Callable[[list[npt.NDArray[np.integer]]], Path]


@pytest.fixture
def write_street(tmp_path: Path) -> StreetWriter:
    """Writes instance-id maps as the split `val` of a city and gives its root."""

    def write(maps: list[npt.NDArray[np.integer]]) -> Path:
        for kind in ("leftImg8bit", "gtFine"):
            (tmp_path / kind / "val" / "town").mkdir(parents=True, exist_ok=True)
        for number, ids in enumerate(maps):
            stem = f"town_000000_{number:06d}"
            picture = np.full((*ids.shape, 3), (number, 2, 3), np.uint8)
            cv2.imwrite(str(tmp_path / f"leftImg8bit/val/town/{stem}_leftImg8bit.png"), picture)
            cv2.imwrite(str(tmp_path / f"gtFine/val/town/{stem}_gtFine_instanceIds.png"), ids.astype(np.uint16))
        return tmp_path

    return write
