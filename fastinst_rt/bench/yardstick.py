"""A fixed piece of work, measured in every run beside the variants: how fast is this machine today?

Two runs of one suite on one machine differ although nothing of ours changed: another tenant, another clock. The
yardstick is none of our code (one convolution and one matrix product of torch, of the sizes that FastInst runs), so
whatever it changes by is the machine's doing. `compare` never claims a difference that the yardstick shares.
"""

import torch

from fastinst_rt.backends.allocator import keep_freed_memory
from fastinst_rt.bench.timers import Call

NAME = "yardstick"


def yardstick(device: str = "cpu") -> Call:
    """About 10 ms of one core: a 3x3 convolution of 128 channels at 1/8 of 448x800, then a matrix product."""
    keep_freed_memory()  # else its speed would depend on whether an eager engine was made before it
    generator = torch.Generator().manual_seed(0)
    half = device.startswith("cuda")
    dtype = torch.float16 if half else torch.float32
    picture = torch.rand(1, 128, 56, 100, generator=generator).to(device, dtype)
    kernel = torch.rand(128, 128, 3, 3, generator=generator).to(device, dtype)
    left = torch.rand(512, 512, generator=generator).to(device, dtype)

    @torch.inference_mode()
    def call() -> None:
        torch.nn.functional.conv2d(picture, kernel, padding=1)
        torch.mm(left, left)

    return call
