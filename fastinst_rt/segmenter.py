"""Segmenter: a picture goes in, its instances come out. The object a user holds."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fastinst_rt.backends.base import Engine, EngineInfo, Mode, Progress, no_progress
from fastinst_rt.categories import Categories
from fastinst_rt.errors import UsageError
from fastinst_rt.postprocess.instances import MAX_PAIRS, instances
from fastinst_rt.postprocess.nms import mask_nms
from fastinst_rt.postprocess.on_device import DeviceInstances
from fastinst_rt.preprocess import geometry, resize_exact, resize_fast
from fastinst_rt.results import Frame, Geometry, Instances, Size, Timings

if TYPE_CHECKING:
    from fastinst_rt.models.fastinst import FastInst

RANDOM_WEIGHTS = "random"
"""Given as `weights`: no file is read. For measuring speed; the masks mean nothing."""


class EngineSource(Protocol):
    """Opens the engine for one input shape, building it where it must."""

    def __call__(self, shape: Geometry, progress: Progress) -> Engine: ...


class Segmenter:
    """Segments pictures with one network.

    An engine has a fixed input shape; the first picture of a new shape opens (or builds) its engine. Use it from one
    thread, or from `engine.concurrency` threads at once. Close it, or use it in a `with` block, to give the engines
    back.

    Args:
        open_engine: opens the engine for a shape.
        categories: the network's class table.
        short_side: network input, pixels.
        max_side: network input, longest side, pixels.
        score: keep instances of at least this score; may be changed at any time.
        max_instances: at most this many instances a picture.
        classes: names of the classes to keep; None for all.
        exact: the published resize and the published order of operations; slower, for evaluation.
        nms_iou: masks of one class with a higher IoU are one object, whose best mask stays; None to keep all.

    Raises:
        UsageError: for a class the network does not know.
    """

    def __init__(
        self,
        open_engine: EngineSource,
        categories: Categories,
        *,
        short_side: int,
        max_side: int,
        score: float = 0.5,
        max_instances: int = 100,
        classes: Iterable[str] | None = None,
        exact: bool = False,
        nms_iou: float | None = None,
    ) -> None:
        self.categories = categories
        self.score = score
        self.max_instances = max_instances
        self._class_ids = None if classes is None else _class_ids(classes, categories)
        self._sides = (short_side, max_side)
        self._exact = exact
        self._nms_iou = nms_iou
        self._open_engine = open_engine
        self._engines: dict[Size, Engine] = {}
        self._latest: Engine | None = None
        self._opening = Lock()
        self._on_device = DeviceInstances()

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        *,
        weights: Path | str | None = None,
        backend: str = "auto",
        precision: str | None = None,
        device: str = "auto",
        score: float = 0.5,
        classes: Iterable[str] | None = None,
        max_instances: int = 100,
        short_side: int | None = None,
        max_side: int | None = None,
        engine_dir: Path | None = None,
        exact: bool = False,
        mode: Mode = "latency",
    ) -> Self:
        """A segmenter of a named model with its weights, on the best engine for this machine.

        Args:
            name: a name of `list_models()`.
            weights: a checkpoint (.safetensors, or a released .pth); None for the model's own (bundled, or pulled
                before); "random" for none.
            backend: "auto", "tensorrt", "inductor", "openvino" or "eager".
            precision: "fp16", "fp32" or "int8"; None for the backend's default.
            device: "auto", "cpu", "cuda" or "cuda:N".
            score, classes, max_instances, exact: as in the constructor.
            short_side, max_side: network input; None for the model's published sizes.
            engine_dir: where engines are kept; None for the default store.
            mode: "latency" (live), or "throughput" (files): the engine may then take several pictures at once.

        Raises:
            UsageError: for an unknown model or class.
            WeightsError: if the weights are missing, damaged or another model's.
            EngineError: if no engine can be opened (at the first picture).
        """
        from fastinst_rt.backends.opening import open_engine

        net, digest = named_network(name, weights)

        def open_for(shape: Geometry, progress: Progress) -> Engine:
            return open_engine(
                net,
                model=name,
                weights_sha256=digest,
                resized=shape.resized,
                backend=backend,
                precision=precision,
                device=device,
                engine_dir=engine_dir,
                mode=mode,
                on_progress=progress,
            )

        return cls(
            open_for,
            net.spec.categories,
            short_side=short_side or net.spec.short_side,
            max_side=max_side or net.spec.max_side,
            score=score,
            max_instances=max_instances,
            classes=classes,
            exact=exact,
            nms_iou=net.spec.nms_iou,
        )

    def __call__(self, image: npt.NDArray[np.uint8]) -> Instances:
        """The instances of one picture.

        Args:
            image: uint8 [H, W, 3], BGR (as OpenCV reads them).

        Returns:
            Instances at the picture's own size, with timings of resize, engine, select and enlarge.
        """
        logits, masks, shape, timings = self._run(image)
        if self._exact or not logits.is_cuda:
            find: Callable[..., Instances] = partial(instances, exact=self._exact)
        else:
            find = self._on_device
        found = find(
            logits,
            masks,
            shape,
            self.categories,
            score=self.score,
            max_instances=self.max_instances if self._nms_iou is None else MAX_PAIRS,
            classes=self._class_ids,
        )
        if self._nms_iou is not None:
            found = mask_nms(found, self._nms_iou, self.max_instances)
        timings = replace(found.timings, resize=timings.resize, engine=timings.engine)
        return replace(found, timings=timings)

    def outputs(self, image: npt.NDArray[np.uint8]) -> tuple[Tensor, Tensor, Geometry]:
        """What the network says of one picture, for panoptic and semantic inference.

        Args:
            image: as for `__call__`.

        Returns:
            Class logits [Q, K+1] and mask logits [Q, h, w] at stride 8 (fine masks: 4), both valid until the next
            call, and how the picture became the input.
        """
        logits, masks, shape, _ = self._run(image)
        return logits, masks, shape

    def _run(self, image: npt.NDArray[np.uint8]) -> tuple[Tensor, Tensor, Geometry, Timings]:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"a picture is uint8 [H, W, 3] BGR, not {image.dtype} {list(image.shape)}")
        shape = self.geometry((image.shape[0], image.shape[1]))
        engine = self._engine(shape, no_progress)
        start = perf_counter()
        resized = (resize_exact if self._exact else resize_fast)(image, shape.resized)
        resize_done = perf_counter()
        logits, masks = engine(resized[None])
        if logits.is_cuda:
            torch.cuda.synchronize(logits.device)  # or the engine's time would be counted as the masks'
        timings = Timings(resize=resize_done - start, engine=perf_counter() - resize_done)
        return logits[0], masks[0], shape, timings

    def stream(self, source: str | Path) -> Iterator[tuple[Frame, Instances]]:
        """Every frame of a source with its instances, one at a time (constant memory).

        Args:
            source: a file, URL, camera index or `test:` pattern, as the command line takes it.

        Raises:
            SourceOpenError: if it cannot be opened.
            SourceLostError: if it breaks off; what came before has been delivered.
        """
        from fastinst_rt.video.sources import open_source  # the one look upwards: a convenience for Python users

        opened = open_source(str(source))
        try:
            for frame in opened.frames():
                yield frame, self(frame.image)
        finally:
            opened.close()

    def geometry(self, frame: Size) -> Geometry:
        """How a frame of (height, width) becomes the network's input."""
        return geometry(frame, *self._sides)

    def prepare(self, frame: Size, progress: Progress = no_progress) -> EngineInfo:
        """Open (or build) the engine for frames of (height, width) before the first one comes."""
        return self._engine(self.geometry(frame), progress).info

    @property
    def engine(self) -> EngineInfo | None:
        """What the engine in use says of itself; None before the first picture."""
        return None if self._latest is None else self._latest.info

    @property
    def engine_name(self) -> str:
        """Short name of the engine in use, for a HUD or a summary."""
        return "no engine yet" if self._latest is None else self._latest.info.name

    def close(self) -> None:
        """Give back the engines."""
        for engine in self._engines.values():
            engine.close()
        self._engines.clear()
        self._latest = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        self.close()
        return False

    def _engine(self, shape: Geometry, progress: Progress) -> Engine:
        with self._opening:
            if shape.resized not in self._engines:
                self._engines[shape.resized] = self._open_engine(shape, progress)
            self._latest = self._engines[shape.resized]
            return self._latest


def named_network(name: str, weights: Path | str | None) -> tuple["FastInst", str | None]:
    """A named model with its weights, and their sha256; None for random ones.

    Args:
        name: a name of `list_models()`.
        weights: as for `Segmenter.from_pretrained`.

    Raises:
        UsageError: for an unknown model.
        WeightsError: if the weights are missing, damaged or another model's.
    """
    from fastinst_rt.models.zoo import random_model
    from fastinst_rt.weights.locate import load_network
    from fastinst_rt.weights.store import weights_sha256

    if str(weights) == RANDOM_WEIGHTS:
        return random_model(name), None
    net, _, path = load_network(name, weights)
    return net, weights_sha256(path)


def _class_ids(names: Iterable[str], categories: Categories) -> tuple[int, ...]:
    """Class indices of names; the error lists what is close."""
    ids = []
    for name in names:
        if name not in categories.index_of:
            from difflib import get_close_matches

            close = get_close_matches(name, categories.names, 3, 0.5)
            hint = f"Did you mean {' or '.join(close)}?" if close else f"Classes: {', '.join(categories.names)}."
            raise UsageError(f"The model does not know the class '{name}'.", hint)
        ids.append(categories.index_of[name])
    return tuple(ids)
