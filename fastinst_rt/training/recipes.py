"""The augmentation recipes: how a sample is drawn from a data set for one place in a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fastinst_rt.training.augment import Size, coloured, flipped, present, random_crop, resized, short_side_size, turned
from fastinst_rt.training.mixing import copy_pasted, fitted, focused, mosaic
from fastinst_rt.training.samples import Sample, SampleSource

Draw = np.random.Generator

_SMALLEST_FOCUS, _SMALLEST_PASTE = 576, 64
"""Pixels of the smallest instance to zoom on (below it, an enlargement shows only blur), and to paste."""


class Recipe(Protocol):
    """Makes one training sample."""

    def __call__(self, source: SampleSource, index: int, rng: Draw, batch_rng: Draw) -> Sample:
        """Draw the sample that starts from picture `index`.

        Args:
            rng: the sample's own randomness.
            batch_rng: the same numbers for every sample of a batch, for what they share (the input size).
        """


@dataclass(frozen=True)
class CocoRecipe:
    """The published COCO augmentation.

    Half the time the short side is drawn from `short_sides`; otherwise from `crop_short_sides`, a rectangle with sides
    of `crop_sides` pixels is cut out, and it is resized like the first half. Then a mirror half the time.

    Attributes:
        short_sides: of the network's input, pixels.
        max_side: its longest side, pixels.
        crop_short_sides: short sides before the crop.
        crop_sides: least and greatest side of the crop, pixels.
        colour: colour jitter.
    """

    short_sides: Sequence[int] = tuple(range(416, 641, 32))
    max_side: int = 853
    crop_short_sides: Sequence[int] = (400, 500, 600)
    crop_sides: tuple[int, int] = (384, 600)
    colour: bool = False

    def __call__(self, source: SampleSource, index: int, rng: Draw, batch_rng: Draw) -> Sample:  # noqa: ARG002
        sample = source[index]
        if rng.random() < 0.5:
            before = int(rng.choice(self.crop_short_sides))
            sample = resized(sample, short_side_size(sample.size, before, 1 << 30))
            low, high = self.crop_sides
            height, width = (int(rng.integers(min(low, side), min(high, side) + 1)) for side in sample.size)
            sample = random_crop(sample, (height, width), rng)
        short = int(rng.choice(self.short_sides))
        sample = resized(sample, short_side_size(sample.size, short, self.max_side))
        return _finished(sample, rng, self.colour)


@dataclass(frozen=True)
class CropRecipe:
    """The Cityscapes augmentation: a random short side, a crop of fixed size, colour jitter, a mirror half the time.

    Attributes:
        short_sides: before the crop, pixels.
        crop: (height, width) in pixels.
        colour: colour jitter.
    """

    short_sides: Sequence[int] = tuple(range(800, 1025, 32))
    crop: Size = (512, 1024)
    colour: bool = True

    def __call__(self, source: SampleSource, index: int, rng: Draw, batch_rng: Draw) -> Sample:  # noqa: ARG002
        sample = source[index]
        sample = resized(sample, short_side_size(sample.size, int(rng.choice(self.short_sides)), 1 << 30))
        return _finished(random_crop(sample, self.crop, rng), rng, self.colour)


@dataclass(frozen=True)
class JitterRecipe:
    """Strong augmentation for little data: scale jitter into a frame, mosaic, copy-paste, colour, mirror.

    Attributes:
        sizes: network inputs (height, width); a batch draws one.
        zoom: least and greatest scale relative to a picture with the area of the frame.
        mosaic: share of samples made of four pictures.
        paste: share of samples with instances of another picture in front.
        turn: share of pasted pictures, and a quarter of it of all samples, turned by any angle: people stand in nearly
            every labelled picture, and one who does not was found by halves.
        focus: share of the framed pictures that are zoomed on one of their instances, so that things which the data
            shows only from afar are also seen from near.
        colour: share of samples with colour jitter.
        instance_weights: weight of each class where an instance is drawn, to be pasted or zoomed on.
    """

    sizes: Sequence[Size] = ((320, 416), (416, 320), (352, 352))
    zoom: tuple[float, float] = (0.8, 1.8)
    mosaic: float = 0.2
    paste: float = 0.3
    focus: float = 0.0
    colour: float = 0.5
    turn: float = 0.0
    instance_weights: npt.NDArray[np.float64] | None = None

    def __call__(self, source: SampleSource, index: int, rng: Draw, batch_rng: Draw) -> Sample:
        size = self.sizes[int(batch_rng.integers(len(self.sizes)))]
        if rng.random() < self.mosaic:
            others = [source[int(other)] for other in rng.integers(0, len(source), 3)]
            sample = mosaic([source[index], *others], size, rng)
        else:
            sample = self._framed(source[index], size, rng)
        if self.turn and rng.random() < self.turn / 4:  # without turns, the draws of older runs stay the same
            sample = turned(sample, rng.uniform(0, 360))
        if self.instance_weights is not None and rng.random() < self.paste:
            sample = self._with_pasted(sample, source, rng)
        return _finished(sample, rng, rng.random() < self.colour)

    def _framed(self, sample: Sample, size: Size, rng: Draw) -> Sample:
        if self.instance_weights is not None and rng.random() < self.focus:
            chances = self._chances(sample, _SMALLEST_FOCUS)
            if chances is not None:
                chosen = int(rng.choice(len(chances), p=chances))
                return focused(sample, chosen, size, float(rng.uniform(0.25, 1.1)), rng)
        low, high = np.log(self.zoom)
        return fitted(sample, size, float(np.exp(rng.uniform(low, high))), rng)

    def _with_pasted(self, sample: Sample, source: SampleSource, rng: Draw) -> Sample:
        for _ in range(3):  # most pictures hold one of the wanted classes; three tries are enough
            donor = source[int(rng.integers(len(source)))]
            donor = self._framed(flipped(donor) if rng.random() < 0.5 else donor, sample.size, rng)
            if self.turn and rng.random() < self.turn:
                donor = turned(donor, rng.uniform(0, 360))
            chances = self._chances(donor, _SMALLEST_PASTE)
            if chances is not None:
                count = min(int(rng.integers(1, 4)), int(np.count_nonzero(chances)))
                chosen = rng.choice(len(chances), count, replace=False, p=chances)
                return copy_pasted(sample, donor, [int(i) for i in chosen])
        return sample

    def _chances(self, sample: Sample, least_pixels: int) -> npt.NDArray[np.float64] | None:
        """How likely each instance is drawn, float [N] that sum to 1; None where none may be."""
        assert self.instance_weights is not None
        areas = np.count_nonzero(sample.masks, axis=(1, 2))
        weights = self.instance_weights[sample.class_ids] * (areas >= least_pixels)
        return weights / weights.sum() if weights.any() else None


def _finished(sample: Sample, rng: Draw, colour: bool) -> Sample:
    if colour:
        sample = coloured(sample, rng)
    return present(flipped(sample) if rng.random() < 0.5 else sample)
