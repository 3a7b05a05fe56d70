"""A segmenter for data sets, whose pictures have hundreds of sizes, on engines, which have one size each."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fastinst_rt.backends.base import Engine, EngineInfo, Images, Progress
from fastinst_rt.backends.opening import open_engine
from fastinst_rt.backends.pictures import fit
from fastinst_rt.results import Geometry, Size
from fastinst_rt.segmenter import EngineSource, Segmenter, named_network


class PaddedInput:
    """An engine for one padded size, taking any picture that is padded to that size.

    The picture is laid at the top left of the mean colour, so the network sees what it sees with zero-padding after
    normalisation but for the rounding of the mean to whole numbers (at most 0.009 after normalisation). That way 198
    pictures of COCO need 12 engines at 320/448, and not the 51 that their resized sizes would.

    Args:
        engine: an engine whose `info.resized` is the padded size.
        resized: (height, width) of the pictures handed in.
        mean: RGB, 0..255.
        release: called by `close`; the engine may serve other sizes too, so it is not closed here.
    """

    def __init__(
        self, engine: Engine, resized: Size, mean: tuple[float, float, float], release: Callable[[], None]
    ) -> None:
        self._engine = engine
        self._release = release
        self._canvas = np.empty((1, *engine.info.resized, 3), np.uint8)
        self._canvas[:] = np.round(mean).astype(np.uint8)
        self._resized = resized
        self.info: EngineInfo = engine.info

    def __call__(self, images: Images) -> tuple[Tensor, Tensor]:
        """As `Engine.__call__`, for uint8 [1, h, w, 3] of the size `resized`."""
        pixels = images.numpy(force=True) if isinstance(images, Tensor) else images
        self._canvas[:, : self._resized[0], : self._resized[1]] = pixels
        return self._engine(torch.from_numpy(self._canvas))

    def close(self) -> None:
        """Says that this size is done with; the engine is closed with the last of its sizes."""
        self._release()


def open_segmenter(
    model: str,
    *,
    weights: Path | str | None = None,
    backend: str = "eager",
    precision: str | None = None,
    device: str = "auto",
    short_side: int | None = None,
    max_side: int | None = None,
    engine_dir: Path | None = None,
    exact: bool = True,
    allow_unverified: bool = False,
    proof: Sequence[npt.NDArray[np.uint8]] = (),
    on_progress: Progress | None = None,
) -> Segmenter:
    """A segmenter that keeps every instance whatever its score, on one engine a padded size.

    The eager backend takes every size as it is. Arguments as of `Segmenter.from_pretrained`, and:

    Args:
        allow_unverified: use an engine that is under the parity gate.
        proof: uint8 [H, W, 3] BGR of any size; a new engine is proven on these, or on drawn ones where there are none.
        on_progress: told what a build is doing.

    Raises:
        UsageError: for an unknown model.
        WeightsError: if the weights are missing, damaged or another model's.
    """
    net, digest = named_network(model, weights)

    def open_for(shape: Geometry, progress: Progress) -> Engine:
        return open_engine(
            net,
            model=model,
            weights_sha256=digest,
            resized=shape.resized,
            backend=backend,
            precision=precision,
            device=device,
            engine_dir=engine_dir,
            pictures=fit(proof, shape.resized),
            allow_unverified=allow_unverified,
            on_progress=on_progress or progress,
        )

    return Segmenter(
        open_for if backend == "eager" else _one_engine_a_padded_size(open_for, net.spec.pixel_mean),
        net.spec.categories,
        short_side=short_side or net.spec.short_side,
        max_side=max_side or net.spec.max_side,
        score=0.0,
        exact=exact,
        nms_iou=net.spec.nms_iou,
    )


def _one_engine_a_padded_size(open_for: EngineSource, mean: tuple[float, float, float]) -> EngineSource:
    engines: dict[Size, Engine] = {}
    users: Counter[Size] = Counter()

    def open_padded(shape: Geometry, progress: Progress) -> Engine:
        if shape.padded not in engines:
            engines[shape.padded] = open_for(shape._replace(resized=shape.padded), progress)
        users[shape.padded] += 1
        return PaddedInput(engines[shape.padded], shape.resized, mean, lambda: release(shape.padded))

    def release(padded: Size) -> None:
        users[padded] -= 1
        if not users[padded]:
            engines.pop(padded).close()

    return open_padded
