"""Weights come back from safetensors as they were, with the network that they are for."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fastinst_rt.categories import COCO, Categories
from fastinst_rt.errors import OutputError, WeightsError
from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.models.zoo import create_model, get_spec
from fastinst_rt.weights.store import is_safetensors, load_weights, read_metadata, save_weights, weights_sha256

PETS = Categories(("cat", "dog"), (17, 18), (True, True))


def small(categories: Categories = COCO) -> FastInst:
    """The smallest model with a narrow rest."""
    torch.manual_seed(1)
    return FastInst(replace(get_spec("fastinst-d1-r50"), categories=categories, width=32, feedforward=32)).eval()


@pytest.fixture(scope="module")
def net() -> FastInst:
    return small()


def test_round_trip(tmp_path: Path, net: FastInst) -> None:
    path = tmp_path / "made" / "a.safetensors"
    save_weights(net, path, {"provenance": "made up", "epochs": "3"})
    other = small()
    for tensor in other.state_dict().values():
        tensor.zero_()
    metadata = load_weights(other, path)
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, net.state_dict()[name]), name
    assert (metadata.spec.name, metadata.provenance, metadata.notes) == ("fastinst-d1-r50", "made up", {"epochs": "3"})
    assert [file.name for file in path.parent.iterdir()] == ["a.safetensors"]
    assert is_safetensors(path)


def test_half_is_stored_in_16_bits_and_widened_on_loading(tmp_path: Path, net: FastInst) -> None:
    full, half = tmp_path / "full.safetensors", tmp_path / "half.safetensors"
    save_weights(net, full, {"provenance": ""})
    save_weights(net, half, {"provenance": ""}, half=True)
    assert half.stat().st_size < 0.52 * full.stat().st_size
    other = small()
    load_weights(other, half)
    for name, tensor in other.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, net.state_dict()[name].half().float()), name


def test_a_value_too_large_for_16_bits_is_named(tmp_path: Path) -> None:
    net = small()
    net.state_dict()["backbone.stem.0.norm.running_var"][0] = 1e6
    with pytest.raises(OutputError, match=r"backbone\.stem\.0\.norm\.running_var does not fit into 16 bits"):
        save_weights(net, tmp_path / "a.safetensors", {"provenance": ""}, half=True)
    assert not list(tmp_path.iterdir())


def test_the_header_says_how_the_network_is_built(tmp_path: Path) -> None:
    net = small(PETS)
    save_weights(net, tmp_path / "a.safetensors", {"provenance": ""})
    spec = read_metadata(tmp_path / "a.safetensors").spec
    assert spec.categories == PETS
    assert spec.width == 32
    assert (spec.checkpoint, spec.ap_val) == (None, None)  # those of the published model are not this one's
    load_weights(FastInst(spec), tmp_path / "a.safetensors")


def test_the_published_figures_come_back_with_the_published_model(tmp_path: Path) -> None:
    spec = get_spec("fastinst-d1-r50")
    save_weights(create_model(spec.name), tmp_path / "a.safetensors", {"provenance": ""})
    assert read_metadata(tmp_path / "a.safetensors").spec == spec


def test_weights_of_another_model_or_other_classes(tmp_path: Path, net: FastInst) -> None:
    path = tmp_path / "a.safetensors"
    save_weights(net, path, {"provenance": ""})
    with pytest.raises(WeightsError, match="are those of fastinst-d1-r50, not of fastinst-d3-r50"):
        load_weights(create_model("fastinst-d3-r50"), path)
    with pytest.raises(WeightsError, match=r"does not fit fastinst-d1-r50: .* of another shape: .*classes"):
        load_weights(small(PETS), path)


def test_damaged_and_foreign_files(tmp_path: Path, net: FastInst) -> None:
    path = tmp_path / "a.safetensors"
    save_weights(net, path, {"provenance": ""})
    content = path.read_bytes()
    for kept in (5, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:kept])
        with pytest.raises(WeightsError, match="are damaged") as raised:
            load_weights(net, path)
        assert raised.value.exit_code == 7
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="does not say of which model"):
        load_weights(net, path)
    with pytest.raises(WeightsError, match="cannot be read: No such file"):
        load_weights(net, tmp_path / "nowhere.safetensors")
    save_file({"a": torch.zeros(1)}, path, {"format": "fastinst-rt", "format_version": "99"})
    with pytest.raises(WeightsError, match="in format 99"):
        read_metadata(path)
    for rest in ({"format_version": "1"}, {"format_version": "x"}, {}):
        save_file({"a": torch.zeros(1)}, path, {"format": "fastinst-rt", **rest})
        with pytest.raises(WeightsError, match=r"header of the weights .* cannot be understood"):
            read_metadata(path)


def test_a_place_that_cannot_be_written(tmp_path: Path, net: FastInst) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        save_weights(net, tmp_path / "file" / "a.safetensors", {"provenance": ""})


def test_header_fields_are_not_overwritten(tmp_path: Path, net: FastInst) -> None:
    with pytest.raises(ValueError, match="model"):
        save_weights(net, tmp_path / "a.safetensors", {"provenance": "", "model": "other"})


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert weights_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(WeightsError, match="cannot be read"):
        weights_sha256(tmp_path / "b")
