"""Samples made of several pictures: copy-paste and mosaic. Both keep what each picture's labels leave unsaid."""

import math
from collections.abc import Sequence

import numpy as np

from fastinst_rt.postprocess.enlarge import box, trim
from fastinst_rt.training.augment import Size, cropped, padded, present, random_crop, resized
from fastinst_rt.training.samples import Sample


def copy_pasted(base: Sample, donor: Sample, chosen: Sequence[int]) -> Sample:
    """`base` with some instances of `donor` in front (Ghiasi et al., Simple Copy-Paste, CVPR 2021).

    Args:
        base: the picture that stays behind.
        donor: a sample of the same size.
        chosen: indices of the donor's instances.
    """
    pasted = donor.masks[list(chosen)]
    front = np.logical_or.reduce(pasted, axis=0)
    image = np.where(front[..., None], donor.image, base.image)
    before = np.count_nonzero(base.masks, axis=(1, 2))
    hidden = base.masks & ~front
    kept = np.count_nonzero(hidden, axis=(1, 2)) > 0.1 * before  # less is a sliver nobody could name
    return Sample(
        image=image,
        class_ids=np.concatenate([base.class_ids[kept], donor.class_ids[list(chosen)]]),
        masks=np.concatenate([hidden[kept], pasted]),
        labelled=np.concatenate([base.labelled, donor.labelled]),
        regions=np.where(front, donor.regions + len(base.labelled), base.regions).astype(np.uint8),
    )


def mosaic(parts: Sequence[Sample], size: Size, rng: np.random.Generator) -> Sample:
    """Four samples in the quadrants around a random centre, each shrunk to about its quadrant and cropped into it."""
    height, width = size
    middle_y, middle_x = (int(side * rng.uniform(0.35, 0.65)) for side in size)
    corners = [(0, 0, middle_y, middle_x), (0, middle_x, middle_y, width)]
    corners += [(middle_y, 0, height, middle_x), (middle_y, middle_x, height, width)]
    classes = parts[0].labelled.shape[1]
    image = np.empty((height, width, 3), np.uint8)
    regions = np.empty(size, np.uint8)
    rows, masks, class_ids = [np.zeros((0, classes), np.bool_)], [np.zeros((0, *size), np.bool_)], []
    count = 0
    for part, (top, left, bottom, right) in zip(parts, corners, strict=True):
        tile = fitted(part, (bottom - top, right - left), rng.uniform(1.0, 1.6), rng)
        place = (slice(top, bottom), slice(left, right))
        image[place], regions[place] = tile.image, tile.regions + count
        full = np.zeros((len(tile.masks), *size), np.bool_)
        full[:, place[0], place[1]] = tile.masks
        masks.append(full)
        class_ids.append(tile.class_ids)
        rows.append(tile.labelled)
        count += len(tile.labelled)
    return Sample(image, np.concatenate(class_ids), np.concatenate(masks), np.concatenate(rows), regions)


def fitted(sample: Sample, size: Size, zoom: float, rng: np.random.Generator) -> Sample:
    """The sample in a frame of `size`: scaled to its area, times `zoom`, cropped at random and padded.

    By area and not to fit inside: upright pictures would leave half of a lying frame grey.
    """
    scale = zoom * math.sqrt(size[0] * size[1] / (sample.size[0] * sample.size[1]))
    scaled = (max(1, int(sample.size[0] * scale + 0.5)), max(1, int(sample.size[1] * scale + 0.5)))
    return present(padded(random_crop(resized(sample, scaled), size, rng), size), min_pixels=8)


def focused(sample: Sample, chosen: int, size: Size, share: float, rng: np.random.Generator) -> Sample:
    """The sample in a frame of `size`, zoomed so that one instance takes `share` of the frame's height or width.

    The instance lies at a random place in the frame; the zoom is at most 6 times that of the fitted picture.

    Args:
        sample: the whole picture.
        chosen: index of the instance.
        size: of the frame.
        share: of the side that the instance's box fills most; above 1 it is cut.
        rng: draws the place.
    """
    left, top, right, bottom = box(trim(sample.masks[chosen]))
    fit = min(size[0] / sample.size[0], size[1] / sample.size[1])
    scale = min(share * min(size[0] / (bottom - top), size[1] / (right - left)), 6 * fit)
    window = tuple(max(1, min(int(side / scale + 0.5), full)) for side, full in zip(size, sample.size, strict=True))
    start = [_place(low, high, side, full, rng) for low, high, side, full in
             zip((top, left), (bottom, right), window, sample.size, strict=True)]  # fmt: skip
    part = cropped(sample, start[0], start[1], (window[0], window[1]))
    scaled = tuple(max(1, min(int(side * scale + 0.5), most)) for side, most in zip(window, size, strict=True))
    return present(padded(resized(part, (scaled[0], scaled[1])), size), min_pixels=8)


def _place(low: int, high: int, side: int, full: int, rng: np.random.Generator) -> int:
    """Where a window of `side` starts, so that it covers low..high (or lies in it, where that is longer)."""
    first, last = sorted((high - side, low))
    return int(np.clip(rng.integers(first, last + 1), 0, full - side))
