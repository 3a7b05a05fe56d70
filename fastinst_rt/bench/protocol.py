"""How long and how often: the figures of the measuring protocol, and the plan they give for one variant."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np


@dataclass(frozen=True, slots=True)
class Protocol:
    """When a measurement is warm, and how much of it is enough.

    Attributes:
        samples: calls to time for each variant ...
        seconds: ... unless they take longer than this: then as many as fit ...
        least_samples: ... but never fewer than this.
        least_seconds: quick calls are repeated until they fill this time, so that a burst of noise cannot fill a run.
        most_samples: never more than this is planned (the report keeps every sample).
        warm_up: least seconds of warm-up of a variant.
        warm_up_limit: seconds after which it counts as warm although its median still moves (the report says so).
        settled: relative change of the median from one warm-up window to the next that counts as standing still.
        blocks: the samples of a variant come in this many blocks, interleaved with those of the others.
        steady: `half_width` of every variant's block medians that lets the run end as planned ...
        patience: ... otherwise more rounds are added, for at most this many seconds.
    """

    samples: int = 200
    seconds: float = 20.0
    least_samples: int = 5
    least_seconds: float = 4.0
    most_samples: int = 2000
    warm_up: float = 2.0
    warm_up_limit: float = 15.0
    settled: float = 0.02
    blocks: int = 10
    steady: float = 0.01
    patience: float = 0.0

    def telling(self) -> Self:
        """With rounds enough to tell two variants of one run apart (`paired_change`): 2 / 2^8 is under one per cent."""
        return replace(self, least_samples=max(self.least_samples, 8), blocks=max(self.blocks, 8))

    def plan(self, seconds_per_call: float) -> list[int]:
        """Sizes of a variant's blocks, in calls.

        Args:
            seconds_per_call: median of the warm-up.
        """
        quick = max(seconds_per_call, 1e-9)
        calls = min(max(self.samples, self.least_seconds / quick), self.seconds / quick, self.most_samples)
        calls = max(round(calls), self.least_samples)
        parts = np.array_split(np.arange(calls), min(self.blocks, calls))
        return [len(part) for part in parts]


FULL = Protocol(blocks=40, patience=60.0)
"""At least 200 samples or 20 s of each variant, and up to a minute more while the machine is unsteady.

Short blocks: what disturbs one variant for half a second disturbs the others of its round, too.
"""

QUICK = Protocol(
    samples=40,
    seconds=5.0,
    least_samples=5,
    least_seconds=1.0,
    most_samples=400,
    warm_up=0.3,
    warm_up_limit=2.0,
    settled=0.05,
    blocks=8,
)
"""For a first look, and for two CPU cores: minutes instead of an hour, wider intervals."""
