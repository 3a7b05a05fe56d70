"""Multiply-adds of a network, by torch's own counter.

The paper's GFLOPs count a multiply-add once; torch's counter counts it as two operations, so we halve it. It counts
convolutions, matrix products and attention; norms, activations, interpolation and softmax are left out.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from fastinst_rt.results import Size


def multiply_adds(build: Callable[[], nn.Module], size: Size) -> float:
    """Multiply-adds of one picture, in units of 10^9 (the paper's "GFLOPs"). Nothing is computed: tensors are fake.

    Args:
        build: makes the network, which takes float32 [1, 3, H, W].
        size: (height, width) of the padded picture, multiples of 32.
    """
    # Gradients stay on: the counter's hooks fail on a network one of whose parts returns a parameter (torch 2.13).
    with FakeTensorMode(), torch.enable_grad(), FlopCounterMode(display=False) as counter:
        build()(torch.zeros(1, 3, *size))
    return float(counter.get_total_flops()) / 2e9


def parameters(net: nn.Module) -> int:
    """Learned numbers of a network (frozen batch norms hold none)."""
    return sum(p.numel() for p in net.parameters())
