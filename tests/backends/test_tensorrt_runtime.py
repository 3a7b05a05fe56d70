"""Buffers, streams and the CUDA graph of the TensorRT runtime, with stand-ins for TensorRT and CUDA on the CPU.

The stand-in context reads and writes memory by the addresses that it was given, so a wrong binding shows.
"""

import ctypes
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fastinst_rt.backends.base import EngineInfo
from fastinst_rt.backends.tensorrt_runtime import TensorRTEngine
from fastinst_rt.errors import EngineError

_INPUT, _OUTPUT = "input", "output"
_INFO = EngineInfo("tensorrt", "fastinst-d1-r50", "fp16", "cpu", 1, (4, 6), (32, 32))
_TENSORS: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "images": (_INPUT, "UINT8", (1, 4, 6, 3)),
    "output0": (_OUTPUT, "FLOAT", (1, 5, 3)),
    "output1": (_OUTPUT, "FLOAT", (1, 5, 4, 4)),
}


class Context:
    """Puts the mean of the picture's bytes into the logits, and its negative into the masks."""

    def __init__(self, tensors: dict[str, tuple[str, str, tuple[int, ...]]]) -> None:
        self.tensors = tensors
        self.addresses: dict[str, int] = {}
        self.runs = 0
        self.works = True

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7
        self.runs += 1
        mean = self._memory("images", ctypes.c_uint8).mean()
        self._memory("output0", ctypes.c_float)[:] = mean
        self._memory("output1", ctypes.c_float)[:] = -mean
        return self.works

    def _memory(self, name: str, kind: type) -> Any:
        count = math.prod(self.tensors[name][2])
        return np.ctypeslib.as_array((kind * count).from_address(self.addresses[name]))


class Stream:
    cuda_stream = 7

    def __init__(self, *_: object) -> None:
        self.waited_for: list[object] = []

    def wait_stream(self, other: object) -> None:
        self.waited_for.append(other)

    def synchronize(self) -> None:
        pass


class Graph:
    """Records what is enqueued inside `torch.cuda.graph`, and runs it again."""

    def __init__(self) -> None:
        self.replays = 0
        self.recorded: Callable[[], object] = lambda: None

    def replay(self) -> None:
        self.replays += 1
        self.recorded()


@pytest.fixture
def context() -> Context:
    return Context(dict(_TENSORS))


@pytest.fixture
def trt(context: Context) -> Any:
    """The part of TensorRT's Python package that the runtime uses."""
    names = list(context.tensors)
    engine = SimpleNamespace(
        num_io_tensors=len(names),
        get_tensor_name=lambda i: names[i],
        get_tensor_mode=lambda name: context.tensors[name][0],
        get_tensor_dtype=lambda name: context.tensors[name][1],
        get_tensor_shape=lambda name: context.tensors[name][2],
        create_execution_context=lambda: context,
    )
    logger = type("Logger", (), {"ERROR": 1, "__init__": lambda *_: None})
    return SimpleNamespace(
        Logger=logger,
        Runtime=lambda _: SimpleNamespace(deserialize_cuda_engine=lambda plan: engine if plan == b"plan" else None),
        DataType=SimpleNamespace(UINT8="UINT8", FLOAT="FLOAT"),
        TensorIOMode=SimpleNamespace(INPUT=_INPUT, OUTPUT=_OUTPUT),
        __version__="11.0",
    )


@pytest.fixture(autouse=True)
def cuda(monkeypatch: pytest.MonkeyPatch, context: Context) -> Stream:
    """torch.cuda on the CPU; returns the caller's stream."""
    caller = Stream()

    @contextmanager
    def record(graph: Graph, **_: object) -> Iterator[None]:
        before = context.runs
        yield
        graph.recorded = lambda: [context.execute_async_v3(7) for _ in range(context.runs_recorded)]
        context.runs_recorded = context.runs - before
        context.runs = before  # recording runs nothing

    event = SimpleNamespace(synchronize=lambda: None, record=lambda _: None)
    for name, value in {
        "device": lambda _: nullcontext(),
        "stream": lambda _: nullcontext(),
        "current_stream": lambda _: caller,
        "synchronize": lambda _: None,
        "Stream": Stream,
        "Event": lambda: event,
        "CUDAGraph": Graph,
        "graph": record,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    return caller


def test_picture_goes_in_and_logits_come_out(trt: Any) -> None:
    engine = TensorRTEngine(b"plan", _INFO, trt)
    for value in (10, 200):
        logits, masks = engine(np.full((1, 4, 6, 3), value, np.uint8))
        assert logits.shape == (1, 5, 3)
        assert masks.shape == (1, 5, 4, 4)
        assert logits.unique().tolist() == [value]
        assert masks.unique().tolist() == [-value]


def test_tensors_are_taken_as_well(trt: Any) -> None:
    logits, _ = TensorRTEngine(b"plan", _INFO, trt)(torch.full((1, 4, 6, 3), 3, dtype=torch.uint8))
    assert logits.unique().tolist() == [3]


def test_calls_replay_one_graph_into_the_same_buffers(trt: Any, context: Context) -> None:
    engine = TensorRTEngine(b"plan", _INFO, trt)
    warm_up = context.runs
    picture = np.zeros((1, 4, 6, 3), np.uint8)
    first, _ = engine(picture)
    second, _ = engine(picture)
    assert engine.uses_cuda_graph
    assert engine._graph.replays == 2  # type: ignore[union-attr]
    assert context.runs == warm_up + 2
    assert first.data_ptr() == second.data_ptr()


def test_runs_without_a_graph_where_the_context_cannot_be_recorded(trt: Any, context: Context) -> None:
    context.is_stream_capturable = lambda _: False  # type: ignore[attr-defined]
    engine = TensorRTEngine(b"plan", _INFO, trt)
    assert not engine.uses_cuda_graph
    logits, _ = engine(np.full((1, 4, 6, 3), 9, np.uint8))
    assert logits.unique().tolist() == [9]


def test_streams_wait_for_each_other(trt: Any, cuda: Stream) -> None:
    engine = TensorRTEngine(b"plan", _INFO, trt)
    engine._stream.waited_for.clear()  # type: ignore[attr-defined]
    engine(np.zeros((1, 4, 6, 3), np.uint8))
    assert engine._stream.waited_for == [cuda]  # type: ignore[attr-defined]
    assert cuda.waited_for[-1] is engine._stream


def test_other_shape_is_refused(trt: Any) -> None:
    engine = TensorRTEngine(b"plan", _INFO, trt)
    with pytest.raises(ValueError, match="takes uint8"):
        engine(np.zeros((1, 4, 5, 3), np.uint8))


def test_plan_that_cannot_be_loaded(trt: Any) -> None:
    with pytest.raises(EngineError, match=r"TensorRT 11\.0 cannot load the plan"):
        TensorRTEngine(b"other", _INFO, trt)


def test_gpu_that_cannot_hold_it(trt: Any) -> None:
    engine = trt.Runtime(None).deserialize_cuda_engine(b"plan")
    engine.create_execution_context = lambda: None
    with pytest.raises(EngineError, match="its memory is full, or it lacks an operator"):
        TensorRTEngine(b"plan", _INFO, trt)


def test_run_that_fails(trt: Any, context: Context) -> None:
    context.works = False
    with pytest.raises(EngineError, match="could not run"):
        TensorRTEngine(b"plan", _INFO, trt)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("images", (_INPUT, "UINT8", (1, 5, 6, 3))),  # another picture size
        ("images", (_INPUT, "UINT8", (2, 4, 6, 3))),  # another batch
        ("output0", (_OUTPUT, "FLOAT", (5, 3))),  # neither logits nor masks
        ("output1", (_OUTPUT, "HALF", (1, 5, 4, 4))),  # another type
        ("output1", (_OUTPUT, "FLOAT", (1, 5, -1, 4))),  # dynamic
    ],
)
def test_plan_of_another_kind_is_refused(
    trt: Any, context: Context, name: str, tensor: tuple[str, str, tuple[int, ...]]
) -> None:
    context.tensors[name] = tensor
    with pytest.raises(EngineError, match="The plan has"):
        TensorRTEngine(b"plan", _INFO, trt)


def test_close_gives_everything_back(trt: Any) -> None:
    engine = TensorRTEngine(b"plan", _INFO, trt)
    engine.close()
    assert not engine.uses_cuda_graph
    assert not hasattr(engine, "_buffers")
