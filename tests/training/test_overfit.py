"""A tiny network learns eight pictures by heart: everything between the labels and the AP works."""

import time
from pathlib import Path

import pytest
import torch

from fastinst_rt.evaluation.datasets.coco import CocoInstances
from fastinst_rt.evaluation.instance_ap import InstanceAP
from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.postprocess.instances import instances
from fastinst_rt.results import Geometry
from fastinst_rt.training.build import make_source, make_stream
from fastinst_rt.training.trainer import Process, Trainer
from tests.training.scenes import write_coco
from tests.training.tiny import coco_data, tiny_config, tiny_net

SIZE = (96, 128)


def mask_ap(net: FastInst, reader: CocoInstances) -> float:
    ap = InstanceAP(reader.categories, reader.categories)
    net.eval()
    for index in range(len(reader)):
        image = torch.from_numpy(reader.image(index)[:, :, ::-1].transpose(2, 0, 1).copy())[None].float()
        with torch.no_grad():
            logits, masks = net(image)
        geometry = Geometry(SIZE, SIZE, SIZE)
        ap.add(reader.annotations(index), instances(logits[0], masks[0], geometry, reader.categories, score=0.0))
    return float(ap.report().figures["AP"])


@pytest.mark.slow
def test_eight_pictures_by_heart(tmp_path: Path) -> None:
    annotations = write_coco(tmp_path / "data", 8, SIZE)
    config = tiny_config(coco_data(annotations), iterations=180)
    source = make_source(config.data)
    torch.manual_seed(0)
    net = tiny_net(source.categories)
    started = time.process_time()
    trainer = Trainer(config, net, make_stream(config, source), tmp_path / "run", Process.join("cpu"))
    trainer.run()
    assert time.process_time() - started < 180
    net.load_state_dict(trainer.weights)
    assert mask_ap(net, CocoInstances(annotations, annotations.parent)) > 0.9
