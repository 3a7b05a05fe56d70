"""How a run goes: what the command line decides before a pipeline starts."""

from dataclasses import dataclass, field

from fastinst_rt.video.queues import Policy
from fastinst_rt.video.watchdog import Patience


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run goes.

    Attributes:
        policy: None takes `freshest` for live sources and `every` for others.
        every_nth: the network sees every n-th frame; the frames between are written with the instances of the last one
            it saw, so that the output has all frames of the input.
        frames: stop after this many frames of the source.
        seconds: stop this long after the first frame.
        queue: frames that may wait before each stage under `every`. 4 frames ride out the uneven decoding of B-frames.
        patience: of the watchdog.
    """

    policy: Policy | None = None
    every_nth: int = 1
    frames: int | None = None
    seconds: float | None = None
    queue: int = 4
    patience: Patience = field(default_factory=Patience)
