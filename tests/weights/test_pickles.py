"""Checkpoints of every container give their tensors; anything else is refused in one sentence, and nothing is run."""

import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fastinst_rt.errors import WeightsError
from fastinst_rt.weights.pickles import read_tensors

ARRAYS = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.array([1, 2], np.int64)}
TENSORS = OrderedDict((name, torch.from_numpy(array)) for name, array in ARRAYS.items())

Write = Callable[[Any, Path], None]


def zipped(content: Any, path: Path) -> None:
    torch.save(content, path)


def older_stream(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def plain(content: Any, path: Path, protocol: int = 2) -> None:
    path.write_bytes(pickle.dumps(content, protocol))


def plain_newest(content: Any, path: Path) -> None:
    plain(content, path, 5)


@pytest.mark.parametrize("write", [zipped, older_stream])
@pytest.mark.parametrize(
    "content",
    [{"model": TENSORS, "iteration": 7}, TENSORS, {"model": ARRAYS, "best": np.float64(0.349)}],
    ids=["under model", "bare", "numpy"],
)
def test_torch_files(tmp_path: Path, write: Write, content: Any) -> None:
    path = tmp_path / "a.pth"
    write(content, path)
    assert_same(read_tensors(path))


@pytest.mark.parametrize("write", [plain, plain_newest])
def test_plain_pickles_of_arrays(tmp_path: Path, write: Write) -> None:
    path = tmp_path / "R-50.pkl"
    write({"model": ARRAYS, "__author__": "somebody", "matching_heuristics": True}, path)
    assert_same(read_tensors(path))


def assert_same(tensors: dict[str, torch.Tensor]) -> None:
    assert list(tensors) == ["a", "b"]
    for name, tensor in tensors.items():
        assert tensor.dtype == TENSORS[name].dtype
        assert torch.equal(tensor, TENSORS[name])


class Touch:
    """Unpickling it with plain pickle makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("write", [zipped, older_stream, plain])
def test_code_is_named_and_not_run(tmp_path: Path, write: Write) -> None:
    path, trace = tmp_path / "evil.pth", tmp_path / "it-ran"
    write({"model": TENSORS if write is not plain else ARRAYS, "extra": Touch(trace)}, path)
    with pytest.raises(WeightsError, match=r"asks for (posix|nt)\.system.*nothing of it was run"):
        read_tensors(path)
    assert not trace.exists()


def test_the_trap_of_these_tests_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Touch(tmp_path / "it-ran")))
    assert (tmp_path / "it-ran").exists()


def test_whole_modules_are_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(WeightsError, match=r"asks for torch\.nn\.modules\.linear\.Linear"):
        read_tensors(tmp_path / "module.pth")


@pytest.mark.parametrize("write", [zipped, older_stream, plain])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.3, 0.6, 0.98])
def test_truncated_files_are_damaged(tmp_path: Path, write: Write, kept: float) -> None:
    path = tmp_path / "a.pth"
    write({"model": ARRAYS if write is plain else TENSORS}, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(WeightsError, match=r"is damaged") as raised:
        read_tensors(path)
    assert str(path) in raised.value.problem
    assert "weights_only" not in str(raised.value)  # torch's advice to load unsafely must not reach a user
    assert raised.value.exit_code == 7


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (3, "holds no state dict but a value of type int"),
        ({}, "holds no state dict but a dict with nothing in it"),
        ({"model": {"a": 3}}, "The entry a of the checkpoint .* is a value of type int"),
        ({"state_dict": TENSORS}, "The entry state_dict of the checkpoint .* is a dict"),
    ],
)
def test_other_contents_are_named(tmp_path: Path, content: Any, problem: str) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=problem):
        read_tensors(tmp_path / "a.pth")


def test_web_pages_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "page.pth").write_text("\n<!DOCTYPE html><html></html>")
    with pytest.raises(WeightsError, match="is a web page"):
        read_tensors(tmp_path / "page.pth")
    with pytest.raises(WeightsError, match=r"nowhere\.pth cannot be read: No such file"):
        read_tensors(tmp_path / "nowhere.pth")
    with pytest.raises(WeightsError, match="cannot be read: Is a directory"):
        read_tensors(tmp_path)
