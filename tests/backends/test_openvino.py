"""The OpenVINO backend on small inputs: same numbers as eager, precision read from what is executed, INT8, errors."""

import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from fastinst_rt.backends.base import RunOptions
from fastinst_rt.backends.eager import EagerEngine
from fastinst_rt.backends.maker import EngineMaker
from fastinst_rt.backends.openvino import OpenVinoBackend, _precision
from fastinst_rt.backends.pictures import drawn_pictures
from fastinst_rt.backends.store import EngineStore
from fastinst_rt.errors import EngineError
from fastinst_rt.models.zoo import create_model

from .tiny import SIZE, TinyNet, tiny_maker

ODD = (87, 122)
"""Padded to 96 x 128."""


@pytest.fixture(scope="module")
def nano() -> torch.nn.Module:
    torch.manual_seed(0)
    return create_model("fastinst-nano")


def _maker(net: torch.nn.Module, folder: Path, **more: object) -> EngineMaker:
    values = {"resized": ODD, "batch": 1, "options": RunOptions(threads=1), "store": EngineStore(folder)}
    return EngineMaker(net, "fastinst-nano", "0" * 64, **(values | more))


@pytest.fixture(scope="module")
def built(nano: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> EngineMaker:
    """For two pictures at once, so that every place of the batch is tried."""
    maker = _maker(nano, tmp_path_factory.mktemp("engines"), batch=2)
    maker.build(OpenVinoBackend(), "fp32")
    return maker


def test_same_numbers_as_eager(built: EngineMaker) -> None:
    pictures = np.stack(drawn_pictures(built.batch, ODD))
    engine = built.load(OpenVinoBackend(), "fp32")
    eager = EagerEngine(built.net, ODD, built.batch)
    assert engine.info.padded == (96, 128)
    for expected, found in zip(eager(pictures), engine(pictures), strict=True):
        assert found.dtype == torch.float32
        assert found.shape == expected.shape
        assert (found - expected).norm() <= 1e-3 * expected.norm()


def test_nothing_runs_narrower_than_asked(built: EngineMaker) -> None:
    """On a CPU with BF16 units OpenVINO would take BF16 if it were not told."""
    manifest = built.store.check(built.key(OpenVinoBackend(), "fp32"))
    assert manifest.precision_found == "fp32"
    assert list(manifest.inspection["heavy_operators"]) == ["fp32"]
    assert manifest.inspection["heavy_operators"]["fp32"] > 40
    assert "ShapeOf" not in manifest.inspection["operators"]  # the shape is fixed through and through


def test_parity_is_by_the_batch(built: EngineMaker) -> None:
    parity = built.store.check(built.key(OpenVinoBackend(), "fp32")).parity
    assert parity["passed"]
    assert parity["batch"] == built.batch
    assert parity["agreement"] == 1.0


def test_other_pictures_are_not_taken(built: EngineMaker) -> None:
    engine = built.load(OpenVinoBackend(), "fp32")
    for wrong in (np.zeros((built.batch, 96, 128, 3), np.uint8), np.zeros((built.batch, *ODD, 3), np.float32)):
        with pytest.raises(ValueError, match="takes uint8"):
            engine(wrong)


def test_outputs_are_of_the_picture_given(built: EngineMaker) -> None:
    engine = built.load(OpenVinoBackend(), "fp32")
    first, second = (np.stack([picture] * built.batch) for picture in drawn_pictures(2, ODD))
    kept = [output.clone() for output in engine(first)]
    assert not engine(second)[1].equal(kept[1])
    assert engine(first)[1].equal(kept[1])


def test_int8_is_calibrated_proven_and_found(tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    pictures = drawn_pictures(16, SIZE)
    maker = tiny_maker(tmp_path, calibration=pictures, pictures=pictures[:4])
    manifest = maker.build(OpenVinoBackend(), "int8", allow_unverified=True)
    assert manifest.precision_found == "int8"
    assert manifest.inspection["heavy_operators"]["int8"] >= 1
    logits, masks = maker.load(OpenVinoBackend(), "int8", allow_unverified=True)(pictures[0][None])
    expected = EagerEngine(maker.net, SIZE)(pictures[0][None])[1]
    assert (masks - expected).norm() < 0.05 * expected.norm()
    assert logits.isfinite().all()


def test_int8_without_pictures_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    with pytest.raises(EngineError, match="at least 8 pictures, and there are 0") as error:
        tiny_maker(tmp_path).build(OpenVinoBackend(), "int8")
    assert "--calibration-images" in error.value.remedy


@pytest.mark.parametrize(
    ("found", "precision"),
    [
        ({"fp32": 90}, "fp32"),
        ({"fp32": 80, "bf16": 10}, "bf16"),
        ({"fp32": 80, "fp16": 1}, "fp16"),
        ({"fp32": 30, "int8": 60}, "int8"),
        ({"fp32": 60, "int8": 30}, "mixed"),
    ],
)
def test_what_is_executed_decides_the_precision(found: dict[str, int], precision: str) -> None:
    assert _precision(Counter(found)) == precision


def test_a_graph_that_is_none_is_an_error(tmp_path: Path) -> None:
    backend = OpenVinoBackend()
    (tmp_path / "model.blob").write_bytes(b"no model at all")
    with pytest.raises(EngineError, match="OpenVINO cannot load"):
        backend.load(tmp_path, tiny_maker(tmp_path).key(backend, "fp32"), RunOptions())


def test_what_it_can_do() -> None:
    backend = OpenVinoBackend()
    assert backend.precisions("cpu") == ("fp32", "int8")
    assert backend.precisions("cuda") == ()
    assert backend.obstacle("cpu") is None
    assert "CPU" in backend.obstacle("cuda").reason
    assert "no fp16" in backend.obstacle("cpu", "fp16").reason
    assert list(backend.libraries()) == ["openvino"]


def test_threads_and_mode_are_passed_on(tmp_path: Path) -> None:
    maker = tiny_maker(tmp_path, TinyNet(), options=RunOptions(mode="throughput", threads=1))
    engine = maker.get(OpenVinoBackend(), "fp32")
    compiled = engine._compiled
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert engine.info.concurrency == compiled.get_property("NUM_STREAMS") == 1
    assert "THROUGHPUT" in str(compiled.get_property("PERFORMANCE_HINT"))
    assert replace(engine.info).name == "openvino fp32 on cpu"


def test_latency_is_one_call_at_a_time(tmp_path: Path) -> None:
    engine = tiny_maker(tmp_path, TinyNet(), options=RunOptions(mode="latency")).get(OpenVinoBackend(), "fp32")
    assert engine.info.concurrency == engine._compiled.get_property("NUM_STREAMS") == 1


def test_calls_from_several_threads_keep_their_results(tmp_path: Path) -> None:
    maker = tiny_maker(tmp_path, TinyNet(), options=RunOptions(mode="throughput"))
    engine = maker.get(OpenVinoBackend(), "fp32")
    assert 1 <= engine.info.concurrency <= 4
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (1, *engine.info.resized, 3), np.uint8) for _ in range(3)]
    alone = [[tensor.clone() for tensor in engine(picture)] for picture in pictures]
    together = threading.Barrier(len(pictures))

    def work(picture: npt.NDArray[np.uint8]) -> tuple[torch.Tensor, ...]:
        found = engine(picture)
        together.wait(10)  # every thread has its result before one looks at it
        return found

    with ThreadPoolExecutor(len(pictures)) as pool:
        for wanted, found in zip(alone, pool.map(work, pictures), strict=True):
            torch.testing.assert_close(list(found), wanted, rtol=0, atol=1e-5)


FIRST_CALLS = """
import sys, threading
from pathlib import Path
import numpy as np
from fastinst_rt.backends.base import RunOptions
from fastinst_rt.backends.openvino import _import

compiled = _import(Path(sys.argv[1]), RunOptions(mode="throughput"))
requests = [compiled.create_infer_request() for _ in range(16)]
picture = np.zeros(compiled.input(0).shape, np.uint8)
start = threading.Barrier(len(requests))

def call(request):
    start.wait()
    request.infer([picture], share_inputs=True, share_outputs=True)

threads = [threading.Thread(target=call, args=(request,)) for request in requests]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_the_first_calls_of_a_process_may_come_at_once(tmp_path: Path) -> None:
    engine = tiny_maker(tmp_path, TinyNet()).get(OpenVinoBackend(), "fp32")
    for _ in range(3):
        subprocess.run([sys.executable, "-c", FIRST_CALLS, str(engine.info.folder)], timeout=60, check=True)
