"""ImageNet weights of ResNets load by the names that torchvision, detectron2 and timm give them."""

import pickle
import re
from pathlib import Path

import pytest
import torch

from fastinst_rt.errors import WeightsError
from fastinst_rt.models.zoo import create_model
from fastinst_rt.weights.backbone import load_resnet_backbone
from fastinst_rt.weights.official import ours_to_published

Tensors = dict[str, torch.Tensor]


def detectron2(net: torch.nn.Module) -> Tensors:
    """The backbone's tensors under detectron2's names, with other values, and a classifier."""
    generator = torch.Generator().manual_seed(3)
    tensors = {"stem.fc.weight": torch.zeros(1000, 2048)}
    for name, place in net.backbone.state_dict().items():
        published = ours_to_published(f"backbone.{name}", net.spec.backbone)
        tensors[published.removeprefix("backbone.")] = torch.rand(place.shape, generator=generator)
    return tensors


def torchvision(tensors: Tensors) -> Tensors:
    """detectron2's names as torchvision has them."""
    renamed: Tensors = {"fc.bias": torch.zeros(1000), "bn1.num_batches_tracked": torch.tensor(5)}
    for name, tensor in tensors.items():
        name = name.replace("stem.conv1.norm.", "bn1.").replace("stem.conv1.", "conv1.")
        name = re.sub(r"^res(\d)", lambda m: f"layer{int(m[1]) - 1}", name)
        name = name.replace("shortcut.norm.", "downsample.1.").replace("shortcut.", "downsample.0.")
        renamed[re.sub(r"conv(\d)\.norm", r"bn\1", name)] = tensor
    return {name: tensor for name, tensor in renamed.items() if not name.startswith("stem.fc")}


def stage(net: torch.nn.Module) -> torch.Tensor:
    return net.backbone.state_dict()["stages.3.2.conv3.norm.running_var"]


@pytest.fixture(scope="module")
def net() -> torch.nn.Module:
    return create_model("fastinst-d1-r50")


@pytest.mark.parametrize("kind", ["detectron2 pickle", "detectron2 with prefix", "torchvision"])
def test_every_value_comes_to_its_place(tmp_path: Path, net: torch.nn.Module, kind: str) -> None:
    tensors = detectron2(net)
    path = tmp_path / "imagenet"
    if kind == "detectron2 pickle":
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        path.write_bytes(pickle.dumps({"model": arrays, "__author__": "torchvision", "matching_heuristics": True}))
    elif kind == "torchvision":
        found = torchvision(tensors)
        assert {"conv1.weight", "bn1.weight", "layer4.2.bn3.running_var", "layer1.0.downsample.1.bias"} <= set(found)
        torch.save(found, path)
    else:
        torch.save({f"backbone.{name}": tensor for name, tensor in tensors.items()}, path)
    for tensor in net.backbone.state_dict().values():
        tensor.zero_()
    load_resnet_backbone(net, path)
    for name, tensor in net.backbone.state_dict().items():
        published = ours_to_published(f"backbone.{name}", "r50").removeprefix("backbone.")
        assert torch.equal(tensor, tensors[published]), name


def test_resnet_d_keeps_its_offsets(tmp_path: Path) -> None:
    net = create_model("fastinst-d1-r50dcn")
    tensors = {name: tensor for name, tensor in detectron2(net).items() if "offset" not in name and "fc" not in name}
    torch.save(tensors, tmp_path / "resnet50d.pth")
    load_resnet_backbone(net, tmp_path / "resnet50d.pth")
    assert torch.equal(stage(net), tensors["layer4.2.bn3.running_var"])
    assert not net.backbone.state_dict()["stages.3.2.conv2.conv.offset.weight"].any()


def test_other_networks_are_refused(tmp_path: Path, net: torch.nn.Module) -> None:
    before = stage(net).clone()
    tensors = detectron2(net)
    del tensors["res5.2.conv3.weight"]
    torch.save(tensors | {"res5.3.conv1.weight": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(
        WeightsError, match=r"1 tensor missing.*1 tensor too many: backbone\.stages\.3\.3|res5\.3"
    ) as raised:
        load_resnet_backbone(net, tmp_path / "a.pth")
    assert "timm's resnet50d" in raised.value.remedy
    assert torch.equal(stage(net), before)
    torch.save(detectron2(create_model("fastinst-d1-r50dcn")), tmp_path / "b.pth")
    with pytest.raises(WeightsError, match="does not fit"):
        load_resnet_backbone(net, tmp_path / "b.pth")
