"""The command line with a network that sleeps in place of the real one, and without the seconds it takes to load torch.

`python sleeping_cli.py SECONDS FAIL_AT ARGS...`; FAIL_AT is the call on which the network raises, -1 for never.
"""

import sys
import time
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fastinst_rt.categories import COCO
from fastinst_rt.results import Instances, MaskCrop, Timings

if TYPE_CHECKING:
    from fastinst_rt.backends.base import EngineInfo


class SleepingSegmenter:
    """Finds the same square in every picture."""

    engine_name = "sleep"
    score = 0.5

    def __init__(self, seconds: float = 0.0, fail_at: int = -1) -> None:
        self.calls = 0
        self.info: EngineInfo | None = None
        self._seconds, self._fail_at = seconds, fail_at

    def prepare(self, frame: tuple[int, int]) -> "EngineInfo | None":
        self.prepared = frame
        return self.info

    def __call__(self, image: npt.NDArray[np.uint8]) -> Instances:
        if self.calls == self._fail_at:
            raise RuntimeError("out of memory")
        self.calls += 1
        time.sleep(self._seconds)
        side = min(image.shape[:2]) // 2
        return Instances(
            (image.shape[0], image.shape[1]), np.array([0.9], np.float32), np.array([2]),
            np.array([[4, 4, 4 + side, 4 + side]], np.float32), (MaskCrop(4, 4, np.ones((side, side), bool)),), COCO,
            timings=Timings(engine=self._seconds),
        )  # fmt: skip

    def __enter__(self) -> "SleepingSegmenter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


if __name__ == "__main__":
    network = SleepingSegmenter(float(sys.argv[1]), int(sys.argv[2]))
    module = ModuleType("fastinst_rt.segmenter")
    module.Segmenter = type("Segmenter", (), {"from_pretrained": lambda *_, **__: network})  # type: ignore[attr-defined]
    sys.modules["fastinst_rt.segmenter"] = module
    sys.argv[1:] = sys.argv[3:]
    from fastinst_rt.cli import main

    main()
