"""Batches in an order that depends on the seed and the iteration only, so that a resumed run sees the same ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from fastinst_rt.training.recipes import Recipe
from fastinst_rt.training.samples import Sample, SampleSource
from fastinst_rt.training.targets import Target

STRIDE = 32
"""Network inputs are padded to multiples of this."""


@dataclass(frozen=True)
class Batch:
    """A batch as it leaves the loader.

    Attributes:
        images: uint8 [B, 3, H, W], RGB, H and W multiples of 32, zeros where a picture does not reach.
        sizes: (height, width) of each picture inside.
        targets: B labels at [H, W].
    """

    images: Tensor
    sizes: tuple[tuple[int, int], ...]
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Order:
    """Which picture stands at which place of an endless stream.

    Without weights every epoch is a permutation; with weights pictures are drawn by weight.

    Attributes:
        count: pictures in the data set.
        seed: of the run.
        weights: float [count], or None.
    """

    count: int
    seed: int
    weights: npt.NDArray[np.float64] | None = None

    def __getitem__(self, position: int) -> int:
        epoch, place = divmod(position, self.count)
        rng = np.random.default_rng([self.seed, 1, epoch])
        if self.weights is None:
            return int(rng.permutation(self.count)[place])
        # systematic draws: over an epoch a picture comes up floor or ceil of its share times, in shuffled order
        shares = np.cumsum(self.weights / self.weights.sum()) * self.count
        drawn = np.searchsorted(shares, np.arange(self.count) + rng.random(), side="right").clip(max=self.count - 1)
        return int(rng.permutation(drawn)[place])


@dataclass(frozen=True)
class SampleStream(Dataset[Sample]):
    """Samples by their place in the stream of (iteration, slot in the global batch)."""

    source: SampleSource
    recipe: Recipe
    order: Order
    global_batch: int

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        iteration, slot = key
        seed = self.order.seed
        rng = np.random.default_rng([seed, 2, iteration, slot])
        batch_rng = np.random.default_rng([seed, 3, iteration])
        return self.recipe(self.source, self.order[iteration * self.global_batch + slot], rng, batch_rng)


@dataclass(frozen=True)
class Slots(Sampler[list[tuple[int, int]]]):
    """The batches of one process: iterations `start` to `stop`, each cut into `parts` for gradient accumulation."""

    start: int
    stop: int
    parts: int
    batch: int
    rank: int = 0

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for iteration in range(self.start, self.stop):
            for part in range(self.parts):
                first = (self.rank * self.parts + part) * self.batch
                yield [(iteration, first + i) for i in range(self.batch)]

    def __len__(self) -> int:
        return (self.stop - self.start) * self.parts


def make_loader(stream: SampleStream, slots: Slots, workers: int) -> DataLoader[Sample]:
    """A loader of `Batch` over the given slots."""
    return DataLoader(
        stream,
        batch_sampler=slots,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=False,
        persistent_workers=False,
        worker_init_fn=_one_thread,
        prefetch_factor=4 if workers else None,
    )


def collate(samples: Sequence[Sample]) -> Batch:
    """Pad samples to one size and turn them into tensors; padding is background of every class."""
    height = -(-max(sample.size[0] for sample in samples) // STRIDE) * STRIDE
    width = -(-max(sample.size[1] for sample in samples) // STRIDE) * STRIDE
    images = torch.zeros(len(samples), 3, height, width, dtype=torch.uint8)
    for target, sample in zip(images, samples, strict=True):
        target[:, : sample.size[0], : sample.size[1]] = torch.from_numpy(sample.image.transpose(2, 0, 1).copy())
    return Batch(
        images,
        tuple(sample.size for sample in samples),
        tuple(to_target(sample, (height, width)) for sample in samples),
    )


def to_target(sample: Sample, size: tuple[int, int]) -> Target:
    """The labels of a sample padded to `size`; fully labelled ones carry no table."""
    bottom, right = size[0] - sample.size[0], size[1] - sample.size[1]
    masks = np.pad(sample.masks, ((0, 0), (0, bottom), (0, right)))
    class_ids = torch.from_numpy(sample.class_ids)
    if sample.labelled.all():
        return Target(class_ids, torch.from_numpy(masks))
    everything = np.ones((1, sample.labelled.shape[1]), np.bool_)
    regions = np.pad(sample.regions, ((0, bottom), (0, right)), constant_values=len(sample.labelled))
    labelled = torch.from_numpy(np.concatenate([sample.labelled, everything]))
    return Target(class_ids, torch.from_numpy(masks), labelled, torch.from_numpy(regions))


def _one_thread(worker: int) -> None:  # noqa: ARG001
    import cv2

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
