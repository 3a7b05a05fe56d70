"""A real TensorRT engine on a real GPU; skipped where either is missing."""

from pathlib import Path

import pytest
import torch

from fastinst_rt.backends.manifest import read_manifest
from fastinst_rt.backends.opening import open_engine
from fastinst_rt.backends.pictures import drawn_pictures
from fastinst_rt.backends.tensorrt import TensorRTBackend
from fastinst_rt.models.zoo import create_model

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]


@pytest.mark.parametrize("batch", [1, 2])
def test_engine_is_built_proven_and_loaded_again(tmp_path: Path, batch: int) -> None:
    if obstacle := TensorRTBackend().obstacle("cuda"):
        pytest.skip(obstacle.reason)
    net = create_model("fastinst-nano")
    size = (192, 256)
    arguments = {
        "model": "fastinst-nano",
        "resized": size,
        "batch": batch,
        "backend": "tensorrt",
        "device": "cuda",
        "engine_dir": tmp_path,
    }
    open_engine(net, **arguments).close()
    engine = open_engine(net, **arguments)
    assert engine.info.folder is not None
    manifest = read_manifest(engine.info.folder, "")
    assert manifest.precision_found == "fp16"
    assert manifest.inspection["evidence"] == "layers"
    assert manifest.verified
    picture = torch.from_numpy(drawn_pictures(1, size)[0]).expand(batch, -1, -1, -1).contiguous()
    logits, masks = (part.clone() for part in engine(picture.numpy()))
    again, masks_again = engine(picture.cuda())
    torch.testing.assert_close(again, logits)
    torch.testing.assert_close(masks_again, masks)
    engine.close()
