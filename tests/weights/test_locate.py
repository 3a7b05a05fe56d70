"""The file that a model's weights are loaded from, and loading it whatever it is."""

import errno
from pathlib import Path

import pytest
import torch

from fastinst_rt.errors import UsageError, WeightsError
from fastinst_rt.models.zoo import create_model, get_spec
from fastinst_rt.weights import locate
from fastinst_rt.weights.locate import load_any, load_network, resolve_weights
from fastinst_rt.weights.store import save_weights

SPEC = get_spec("fastinst-d1-r50")


def test_nothing_here_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="are not on this machine") as raised:
        resolve_weights(SPEC, cache=tmp_path)
    assert raised.value.remedy == "Run `fastinst-rt weights pull fastinst-d1-r50`."
    with pytest.raises(WeightsError, match="No weights were released for mask2former-light-r50"):
        resolve_weights(get_spec("mask2former-light-r50"), cache=tmp_path)
    with pytest.raises(WeightsError, match=r"There is no weights file .*mine\.pth"):
        resolve_weights(SPEC, tmp_path / "mine.pth", cache=tmp_path)


def test_named_before_bundled_before_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = tmp_path / str(SPEC.checkpoint)
    torch.save({"a": torch.zeros(1)}, cached)
    assert resolve_weights(SPEC, cache=tmp_path) == cached
    bundled = tmp_path / "package" / "bundled" / "fastinst-d1-r50.safetensors"
    bundled.parent.mkdir(parents=True)
    bundled.write_bytes(b"")
    monkeypatch.setattr(locate.resources, "files", lambda _: tmp_path / "package")
    assert resolve_weights(SPEC, cache=tmp_path) == bundled
    (tmp_path / "mine.pth").write_bytes(b"")
    assert resolve_weights(SPEC, tmp_path / "mine.pth", cache=tmp_path) == tmp_path / "mine.pth"


def test_a_cached_file_that_changed_is_refused(tmp_path: Path) -> None:
    cached = tmp_path / str(SPEC.checkpoint)
    torch.save({"a": torch.zeros(1)}, cached)
    resolve_weights(SPEC, cache=tmp_path)
    torch.save({"a": torch.ones(1)}, cached)
    with pytest.raises(WeightsError, match="has changed"):
        resolve_weights(SPEC, cache=tmp_path)


def test_weights_put_by_hand_into_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    cached = tmp_path / str(SPEC.checkpoint)
    torch.save({"a": torch.zeros(1)}, cached)
    monkeypatch.setattr(Path, "write_text", denied)
    assert resolve_weights(SPEC, cache=tmp_path) == cached


def test_both_kinds_of_file_give_the_same_network(tmp_path: Path, published_tensors: dict[str, torch.Tensor]) -> None:
    torch.save({"model": published_tensors}, tmp_path / "released.pth")
    net, metadata, path = load_network(SPEC.name, tmp_path / "released.pth")
    assert (metadata.spec, metadata.provenance, path) == (
        SPEC,
        "released checkpoint released.pth",
        tmp_path / "released.pth",
    )
    save_weights(net, tmp_path / "ours", {"provenance": "converted"})  # recognised by its content, not by its name
    other = create_model(SPEC.name)
    assert load_any(other, tmp_path / "ours").provenance == "converted"
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, net.state_dict()[name]), name


def test_a_network_trained_with_switches_comes_back_as_it_was(tmp_path: Path) -> None:
    trained = create_model(SPEC.name, num_classes=2, num_queries=10)
    save_weights(trained, tmp_path / "a.safetensors", {"provenance": "trained"})
    net, _, _ = load_network(SPEC.name, tmp_path / "a.safetensors")
    assert not net.training
    assert net.spec == trained.spec
    with pytest.raises(WeightsError, match="are those of fastinst-d1-r50, not of fastinst-d3-r50"):
        load_network("fastinst-d3-r50", tmp_path / "a.safetensors")
    with pytest.raises(UsageError, match="no model named"):
        load_network("fastinst", tmp_path / "a.safetensors")
