"""Released checkpoints load by their published names, one to one, and say exactly what does not fit."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from fastinst_rt.errors import WeightsError
from fastinst_rt.models.zoo import create_model, get_spec, list_models
from fastinst_rt.weights.official import (
    TRAINING_ONLY,
    load_official_checkpoint,
    ours_to_published,
    published_to_ours,
    released_model,
)

Shapes = dict[str, dict[str, tuple[int, ...]]]
Tensors = dict[str, torch.Tensor]


RELEASED = [name for name in list_models() if get_spec(name).checkpoint]


@pytest.fixture(scope="module")
def net() -> torch.nn.Module:
    return create_model("fastinst-d1-r50")


@pytest.mark.parametrize("model", RELEASED)
def test_every_published_name_is_one_tensor_of_the_network(model: str, published_shapes: Shapes) -> None:
    backbone = get_spec(model).backbone
    published = [name for name in published_shapes[model] if name not in TRAINING_ONLY]
    ours = {name: published_to_ours(name, backbone) for name in published}
    with torch.device("meta"):
        places = create_model(model).state_dict()
    assert Counter(ours.values()) == Counter(places.keys())
    for name in published:
        assert tuple(places[ours[name]].shape) == published_shapes[model][name], name
        assert ours_to_published(ours[name] or "", backbone) == name
    assert released_model(published) == model


def test_five_models_were_released() -> None:
    assert len(RELEASED) == 5


@pytest.mark.parametrize("wrapped", [True, False])
def test_loads_every_value_to_its_place(
    tmp_path: Path, net: torch.nn.Module, published_tensors: Tensors, wrapped: bool
) -> None:
    path = tmp_path / "released.pth"
    torch.save({"model": published_tensors, "iteration": 1} if wrapped else published_tensors, path)
    for tensor in net.state_dict().values():
        tensor.zero_()
    assert load_official_checkpoint(net, path) == "released checkpoint released.pth"
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, published_tensors[ours_to_published(name, "r50") or ""]), name


def test_16_bit_values_are_widened(tmp_path: Path, net: torch.nn.Module, published_tensors: Tensors) -> None:
    torch.save({name: tensor.half() for name, tensor in published_tensors.items()}, tmp_path / "half.pth")
    load_official_checkpoint(net, tmp_path / "half.pth")
    name = "backbone.stem.conv1.weight"
    found = net.state_dict()["backbone.stem.0.conv.weight"]
    assert found.dtype == torch.float32
    assert torch.equal(found, published_tensors[name].half().float())


def refusal(net: torch.nn.Module, tensors: Tensors, folder: Path) -> WeightsError:
    torch.save({"model": tensors}, folder / "wrong.pth")
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(WeightsError) as raised:
        load_official_checkpoint(net, folder / "wrong.pth")
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name])  # all or nothing
    return raised.value


def test_missing_extra_and_misshapen_tensors_are_named(
    tmp_path: Path, net: torch.nn.Module, published_tensors: Tensors
) -> None:
    tensors = dict(published_tensors)
    del tensors["sem_seg_head.predictor.meta_pos_embed"]
    tensors["sem_seg_head.predictor.surprise"] = torch.zeros(1)
    tensors["backbone.res2.0.conv1.weight"] = torch.zeros(64, 64, 3, 3)
    problem = refusal(net, tensors, tmp_path).problem
    assert "does not fit fastinst-d1-r50" in problem
    assert "1 tensor missing: sem_seg_head.predictor.meta_pos_embed" in problem
    assert "1 tensor too many: sem_seg_head.predictor.surprise" in problem
    assert "backbone.res2.0.conv1.weight [64, 64, 3, 3] instead of [64, 64, 1, 1]" in problem


def test_integers_are_no_weights(tmp_path: Path, net: torch.nn.Module, published_tensors: Tensors) -> None:
    name = "backbone.stem.conv1.norm.bias"
    tensors = published_tensors | {name: published_tensors[name].long()}
    assert f"{name} int64 instead of float32" in refusal(net, tensors, tmp_path).problem


@pytest.mark.parametrize("other", RELEASED[1:])
def test_a_checkpoint_of_another_model_is_recognised(
    tmp_path: Path, net: torch.nn.Module, published_shapes: Shapes, other: str
) -> None:
    tensors = {name: torch.zeros(1).expand(shape) for name, shape in published_shapes[other].items()}
    error = refusal(net, tensors, tmp_path)
    assert error.exit_code == 7
    assert f"It has the parts of {other}: give --model {other}" in error.remedy


def test_other_classes_are_named(tmp_path: Path, published_tensors: Tensors) -> None:
    error = refusal(create_model("fastinst-d1-r50", num_classes=3), published_tensors, tmp_path)
    assert "class_embed_layers.0.layers.2.weight [81, 256] instead of [4, 256]" in error.problem
    assert "same classes" in error.remedy
