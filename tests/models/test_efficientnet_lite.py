"""EfficientNet-Lite: its shapes, TensorFlow's padding, and the names of the ImageNet weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastinst_rt.errors import WeightsError
from fastinst_rt.models.efficientnet_lite import EfficientNetLite, SameConv2d, load_imagenet_backbone
from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.models.zoo import create_model, get_spec


def published_weights() -> dict[str, Tensor]:
    """A state dict with the names and shapes of the released Lite0, built from its description."""
    generator = torch.Generator().manual_seed(11)
    tensors: dict[str, Tensor] = {}

    def put(name: str, *shape: int) -> None:
        tensors[name] = torch.rand(shape, generator=generator) + 0.1

    def norm(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            put(f"{name}.{part}", channels)
        tensors[f"{name}.num_batches_tracked"] = torch.tensor(5)

    put("_conv_stem.weight", 32, 3, 3, 3)
    norm("_bn0", 32)
    channels, block = 32, 0
    for repeats, kernel, expansion, out in (
        (1, 3, 1, 16), (2, 3, 6, 24), (2, 5, 6, 40), (3, 3, 6, 80), (3, 5, 6, 112), (4, 5, 6, 192), (1, 3, 6, 320),
    ):  # fmt: skip
        for _ in range(repeats):
            inner = channels * expansion
            if expansion > 1:
                put(f"_blocks.{block}._expand_conv.weight", inner, channels, 1, 1)
                norm(f"_blocks.{block}._bn0", inner)
            put(f"_blocks.{block}._depthwise_conv.weight", inner, 1, kernel, kernel)
            norm(f"_blocks.{block}._bn1", inner)
            put(f"_blocks.{block}._project_conv.weight", out, inner, 1, 1)
            norm(f"_blocks.{block}._bn2", out)
            channels, block = out, block + 1
    put("_conv_head.weight", 1280, 320, 1, 1)
    norm("_bn1", 1280)
    put("_fc.weight", 1000, 1280)
    put("_fc.bias", 1000)
    return tensors


@pytest.mark.parametrize(
    ("variant", "channels", "blocks"), [(0, (40, 112, 320), 16), (1, (40, 112, 320), 21), (2, (48, 120, 352), 21)]
)
@torch.inference_mode()
def test_features_have_strides_8_16_32(variant: int, channels: tuple[int, int, int], blocks: int) -> None:
    net = EfficientNetLite(variant).eval()
    assert net.out_channels == channels
    assert len(net.blocks) == blocks
    maps = net(torch.rand(1, 3, 64, 96))
    assert [tuple(m.shape) for m in maps] == [
        (1, channels[0], 8, 12), (1, channels[1], 4, 6), (1, channels[2], 2, 3),
    ]  # fmt: skip


@torch.inference_mode()
def test_a_block_left_out_is_as_if_it_added_nothing() -> None:
    whole, part = EfficientNetLite(0).eval(), EfficientNetLite(0, ["stages.4.1", "stages.2.1"]).eval()
    kept = {name: t for name, t in whole.state_dict().items() if not name.startswith(part.without)}
    part.load_state_dict(kept)
    for name in part.without:
        block = whole.get_submodule(name)
        block.project.norm.weight.zero_()
        block.project.norm.bias.zero_()
    x = torch.rand(1, 3, 64, 96)
    assert all(torch.equal(a, b) for a, b in zip(whole.maps(x), part.maps(x), strict=True))


@pytest.mark.parametrize("name", ["stages.4.0", "stages.4.3", "stem"])
def test_only_blocks_that_add_can_be_left_out(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        EfficientNetLite(0, [name])


@pytest.mark.parametrize("kernel", [3, 5])
def test_stride_2_pads_as_tensorflow_does(kernel: int) -> None:
    """For even sides SAME pads kernel - 2 in all, the odd one at the end: 0+1 for 3x3, 1+2 for 5x5."""
    conv = SameConv2d(2, 3, kernel, 2)
    x = torch.rand(1, 2, 8, 10)
    before = {3: 0, 5: 1}[kernel]
    expected = F.conv2d(F.pad(x, (before, before + 1, before, before + 1)), conv.weight, stride=2)
    assert conv(x).shape == (1, 3, 4, 5)
    assert torch.equal(conv(x), expected)


def nano_without(*blocks: str) -> FastInst:
    return FastInst(replace(get_spec("fastinst-nano"), backbone_without=blocks))


def test_imagenet_weights_load_by_their_names(tmp_path: Path) -> None:
    weights = published_weights()
    torch.save(weights, tmp_path / "lite0.pth")
    net = nano_without()
    load_imagenet_backbone(net, tmp_path / "lite0.pth")
    ours = net.backbone.state_dict()
    pairs = {
        "stem.conv.weight": "_conv_stem.weight",
        "stem.norm.running_var": "_bn0.running_var",
        "stages.0.0.depthwise.conv.weight": "_blocks.0._depthwise_conv.weight",
        "stages.2.1.expand.norm.bias": "_blocks.4._bn0.bias",
        "stages.5.3.project.conv.weight": "_blocks.14._project_conv.weight",
        "stages.6.0.project.norm.running_mean": "_blocks.15._bn2.running_mean",
    }
    for own, published in pairs.items():
        assert torch.equal(ours[own], weights[published])
    assert len(ours) == sum("num_batches" not in k and "_fc" not in k for k in weights) - 5, "all but the classifier"


def test_imagenet_weights_of_blocks_left_out_stay_behind(tmp_path: Path) -> None:
    weights = published_weights()
    torch.save(weights, tmp_path / "lite0.pth")
    net = nano_without("stages.4.1")
    load_imagenet_backbone(net, tmp_path / "lite0.pth")
    ours = net.backbone.state_dict()
    assert torch.equal(ours["stages.4.2.expand.conv.weight"], weights["_blocks.10._expand_conv.weight"])
    assert not any(name.startswith("stages.4.1.") for name in ours)


def test_weights_of_another_variant_are_refused_by_name(tmp_path: Path) -> None:
    weights = published_weights()
    del weights["_blocks.6._bn1.bias"]
    torch.save(weights, tmp_path / "lite0.pth")
    with pytest.raises(WeightsError, match=r"stages\.3\.1\.depthwise\.norm\.bias"):
        load_imagenet_backbone(create_model("fastinst-nano"), tmp_path / "lite0.pth")


@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_files_that_are_no_state_dict_are_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "lite0.pth"
    if content is None:
        torch.save([1, 2], path)
    else:
        path.write_bytes(content)
    holder = nn.Module()
    holder.backbone = EfficientNetLite(0)
    with pytest.raises(WeightsError):
        load_imagenet_backbone(holder, path)
