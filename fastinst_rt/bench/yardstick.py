"""A fixed piece of work, measured in every run beside the variants: how fast is this machine today?

Two runs of one suite on one machine differ although nothing of ours changed: another tenant, another clock. The
yardstick is none of our code, so whatever it changes by is the machine's doing, and `compare` looks at each row's time
over the yardstick's. It is a small network of torch's own operators, since neighbours disturb many short operators with
a barrier after each more than a few long ones.
"""

import torch
from torch.nn import functional as F

from fastinst_rt.backends.allocator import keep_freed_memory
from fastinst_rt.bench.timers import Call

NAME = "yardstick"

KIND = "8 inverted residual blocks and an attention"
"""Runs with yardsticks of different kinds cannot be compared by them."""

_BLOCKS = 8


def yardstick(device: str = "cpu") -> Call:
    """About 10 ms of two cores: 8 inverted residual blocks of 96 channels at 40x52, then attention of 50 queries."""
    keep_freed_memory()  # else its speed would depend on whether an eager engine was made before it
    generator = torch.Generator().manual_seed(0)
    half = device.startswith("cuda")
    dtype = torch.float16 if half else torch.float32

    def drawn(*shape: int) -> torch.Tensor:
        return (torch.rand(*shape, generator=generator) - 0.5).to(device, dtype)

    picture, queries = drawn(1, 96, 40, 52), drawn(50, 96)
    expand, across, project = drawn(192, 96, 1, 1) / 8, drawn(192, 1, 3, 3), drawn(96, 192, 1, 1) / 8

    @torch.inference_mode()
    def call() -> None:
        x = picture
        for _ in range(_BLOCKS):
            x = x + F.conv2d(F.conv2d(F.conv2d(x, expand).relu(), across, padding=1, groups=192).relu(), project)
        pixels = x.flatten(2)[0]
        torch.mm(torch.mm(queries, pixels).softmax(1), pixels.T)

    return call
