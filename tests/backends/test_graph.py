"""The graph that backends compile is the network: bytes in, normalised, padded with zeros, and nothing else changed."""

import torch
from torch.nn import functional as F

from fastinst_rt.backends.graph import engine_graph
from fastinst_rt.models.zoo import create_model


@torch.inference_mode()
def test_graph_is_the_network_on_normalised_and_padded_pictures() -> None:
    torch.manual_seed(0)
    net = create_model("fastinst-nano")
    resized, padded = (60, 90), (64, 96)
    images = torch.randint(0, 256, (2, *resized, 3), dtype=torch.uint8)
    logits, masks = engine_graph(net, resized, padded)(images)
    pixels = (images.permute(0, 3, 1, 2).double() - 127) / 128
    expected = net.double().forward_normalized(F.pad(pixels, (0, 6, 0, 4)))
    assert (logits - expected[0]).abs().max() < 1e-3
    # relative to the largest: random weights give mask logits of any size
    assert (masks - expected[1]).abs().max() < 1e-4 * expected[1].abs().max()
