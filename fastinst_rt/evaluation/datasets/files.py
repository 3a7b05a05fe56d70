"""Reading the files of a data set, with errors that name them."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fastinst_rt.errors import SourceOpenError


def read_json(path: Path) -> Any:
    """The JSON value in a file.

    Raises:
        SourceOpenError: the file is missing, unreadable or no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise SourceOpenError(
            f"The annotation file {path} cannot be read: {error.strerror}.", "Check the path given with --data."
        ) from error
    except ValueError as error:
        raise SourceOpenError(
            f"The annotation file {path} is not JSON: {error}.", "Give the .json file of the data set."
        ) from error


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """uint8 [H, W, 3], BGR, upright (EXIF rotation applied).

    Raises:
        SourceOpenError: the file is missing or no picture.
    """
    image: npt.NDArray[np.uint8] = _decode(path, cv2.IMREAD_COLOR)
    return image


def read_label_image(path: Path) -> npt.NDArray[np.integer[Any]]:
    """A picture of labels as stored: [H, W] of uint8 or uint16, or BGR uint8 [H, W, 3].

    Raises:
        SourceOpenError: the file is missing or no picture.
    """
    labels: npt.NDArray[np.integer[Any]] = _decode(path, cv2.IMREAD_UNCHANGED)
    return labels


def _decode(path: Path, mode: int) -> Any:
    try:
        stored = np.fromfile(path, np.uint8)  # not cv2.imread: it prints to stderr and cannot tell missing from damaged
    except OSError as error:
        raise SourceOpenError(
            f"The picture {path} cannot be read: {error.strerror}.", "Check the picture folder given with --images."
        ) from error
    image = cv2.imdecode(stored, mode) if len(stored) else None
    if image is None:
        raise SourceOpenError(f"The file {path} is not a picture that can be decoded.", "Fetch the file again.")
    return image
