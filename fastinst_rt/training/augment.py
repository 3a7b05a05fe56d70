"""What may happen to a training sample: resize, crop, flip, colour. Pure functions; the caller draws the numbers."""

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from fastinst_rt.training.samples import Sample

Size = tuple[int, int]

_GREY = 116


def resized(sample: Sample, size: Size) -> Sample:
    """The sample at another size (height, width): picture by area or bilinear, masks by nearest pixel."""
    if size == sample.size:
        return sample
    height, width = size
    smaller = height * width < sample.image.shape[0] * sample.image.shape[1]
    image = cv2.resize(sample.image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    masks = np.empty((len(sample.masks), height, width), np.uint8)
    for source, target in zip(sample.masks, masks, strict=True):
        cv2.resize(source.view(np.uint8), (width, height), dst=target, interpolation=cv2.INTER_NEAREST)
    regions = cv2.resize(sample.regions, (width, height), interpolation=cv2.INTER_NEAREST)
    return replace(sample, image=image, masks=masks.view(np.bool_), regions=regions)


def cropped(sample: Sample, top: int, left: int, size: Size) -> Sample:
    """The rectangle of `size` (height, width) at (top, left); instances outside it are dropped."""
    rows, columns = slice(top, top + size[0]), slice(left, left + size[1])
    return present(
        replace(
            sample,
            image=sample.image[rows, columns],
            masks=sample.masks[:, rows, columns],
            regions=sample.regions[rows, columns],
        )
    )


def present(sample: Sample, min_pixels: int = 1) -> Sample:
    """Without the instances that have fewer than `min_pixels` pixels."""
    kept = np.count_nonzero(sample.masks, axis=(1, 2)) >= min_pixels
    return sample if kept.all() else replace(sample, masks=sample.masks[kept], class_ids=sample.class_ids[kept])


def flipped(sample: Sample) -> Sample:
    """Mirrored left to right."""
    return replace(
        sample,
        image=np.ascontiguousarray(sample.image[:, ::-1]),
        masks=np.ascontiguousarray(sample.masks[:, :, ::-1]),
        regions=np.ascontiguousarray(sample.regions[:, ::-1]),
    )


def padded(sample: Sample, size: Size) -> Sample:
    """Grown to the bottom and right to `size` with grey, which is background of every class."""
    bottom, right = size[0] - sample.size[0], size[1] - sample.size[1]
    if not bottom and not right:
        return sample
    return Sample(
        np.pad(sample.image, ((0, bottom), (0, right), (0, 0)), constant_values=_GREY),
        sample.class_ids,
        np.pad(sample.masks, ((0, 0), (0, bottom), (0, right))),
        _and_everything(sample.labelled),
        np.pad(sample.regions, ((0, bottom), (0, right)), constant_values=len(sample.labelled)),
    )


def turned(sample: Sample, degrees: float) -> Sample:
    """Turned about its middle, same size; what comes in from outside is grey, which is background of every class."""
    height, width = sample.size
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    masks = np.empty(sample.masks.shape, np.uint8)
    for source, target in zip(sample.masks, masks, strict=True):
        cv2.warpAffine(source.view(np.uint8), matrix, (width, height), dst=target, flags=cv2.INTER_NEAREST)
    outside = len(sample.labelled)
    return present(
        Sample(
            cv2.warpAffine(sample.image, matrix, (width, height), borderValue=(_GREY,) * 3),
            sample.class_ids,
            masks.view(np.bool_),
            _and_everything(sample.labelled),
            cv2.warpAffine(sample.regions, matrix, (width, height), flags=cv2.INTER_NEAREST, borderValue=(outside,)),
        )
    )


def _and_everything(labelled: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """One more region, about which everything is known."""
    return np.concatenate([labelled, np.ones((1, labelled.shape[1]), np.bool_)])


def coloured(sample: Sample, rng: np.random.Generator) -> Sample:
    """Colour jitter of SSD's strength: brightness +-32, contrast and saturation x0.5..1.5, hue +-18 degrees.

    In 8-bit arithmetic, one table for brightness and contrast: 0.7 ms at 320 x 320 on one core.
    """
    image = sample.image
    if rng.random() < 0.75:
        levels = np.arange(256, dtype=np.float32) * rng.uniform(0.5, 1.5) + rng.uniform(-32, 32)
        image = cv2.LUT(image, levels.clip(0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        shift = int(rng.integers(-9, 10))  # OpenCV counts hue in steps of two degrees
        hsv[..., 0] = cv2.LUT(hsv[..., 0], ((np.arange(256) + shift) % 180).astype(np.uint8))
        strength = (np.arange(256) * rng.uniform(0.5, 1.5)).clip(0, 255).astype(np.uint8)
        hsv[..., 1] = cv2.LUT(hsv[..., 1], strength)
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return replace(sample, image=image)


def short_side_size(size: Size, short_side: int, max_side: int) -> Size:
    """The size (height, width) with the short side at `short_side`, less where the long side would pass `max_side`."""
    scale = min(short_side / min(size), max_side / max(size))
    return int(size[0] * scale + 0.5), int(size[1] * scale + 0.5)


def random_crop(sample: Sample, size: Size, rng: np.random.Generator) -> Sample:
    """A rectangle of at most `size` at a random place."""
    height, width = min(size[0], sample.size[0]), min(size[1], sample.size[1])
    top = int(rng.integers(0, sample.size[0] - height + 1))
    left = int(rng.integers(0, sample.size[1] - width + 1))
    return cropped(sample, top, left, (height, width))
