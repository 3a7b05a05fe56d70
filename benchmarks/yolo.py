"""The engine of fastinst-nano beside a network everybody knows: a plain YOLO11n-seg under OpenVINO, same input size.

The YOLO network is built here from the published description of its layers, with random weights: it does the same
arithmetic whatever they are. Its rows leave out what ours have inside: bytes to normalised floats before the network
and, after it, decoding of boxes, suppression of doubles and drawing of masks.
"""

import argparse
from functools import partial

import numpy as np
import openvino
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastinst_rt.backends.base import RunOptions
from fastinst_rt.backends.openvino import engine_settings
from fastinst_rt.bench import tables
from fastinst_rt.bench.flops import multiply_adds, parameters
from fastinst_rt.bench.measure import Variant
from fastinst_rt.bench.pictures import scene
from fastinst_rt.bench.protocol import FULL, QUICK
from fastinst_rt.bench.report import Subject
from fastinst_rt.bench.suites.common import Run, Settings, engine_for, network, subject_of
from fastinst_rt.bench.timers import host_timer
from fastinst_rt.preprocess import geometry, resize_fast

FRAMES = ((480, 640), (720, 1280))
PUBLISHED = "published: 2.9 M parameters, 10.4 GFLOPs at 640x640 (an addition and a multiplication count as two)"
CLASSES, PROTOTYPES, BINS = 80, 32, 16


def main() -> None:
    """Measures both networks at the sizes of a 4:3 and a 16:9 picture, interleaved, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer samples")
    settings = Settings(protocol=QUICK if parser.parse_args().quick else FULL, say=print)
    run = Run("yolo", "fastinst-nano and a plain YOLO11n-seg under OpenVINO", settings)
    nano, weights, sha256 = network("fastinst-nano")
    yolo = Yolo11nSeg().eval()
    for frame in FRAMES:
        shape = geometry(frame, nano.spec.short_side, nano.spec.max_side)
        engine = engine_for(nano, sha256, shape, settings)
        picture = resize_fast(scene(frame), shape.resized)[None]
        size = "{}x{}".format(*shape.padded)
        run.add(
            subject_of(engine, shape, weights, id=f"nano {size}", label="fastinst-nano", level="engine"),
            Variant(partial(engine, picture), host_timer("cpu")),
        )
        values = np.random.default_rng(0).random((1, 3, *shape.padded), dtype=np.float32)
        request = compiled(yolo, values)
        run.add(
            Subject(
                f"yolo {size}", "YOLO11n-seg *", "engine", backend="openvino", precision="fp32", padded=shape.padded
            ),
            Variant(partial(request.infer, [values], share_inputs=True, share_outputs=True), host_timer("cpu")),
        )
    run.measure("cpu")
    ours = f"{parameters(yolo) / 1e6:.2f} M parameters, {2 * multiply_adds(Yolo11nSeg, (640, 640)):.1f} GFLOPs"
    tables.show(run.report(notes=[f"* as built here: {ours}; {PUBLISHED}."]))


def compiled(net: nn.Module, values: np.ndarray) -> openvino.InferRequest:
    """One request, in FP32 and with the settings of our own engines."""
    with torch.no_grad():
        model = openvino.convert_model(net, example_input=torch.from_numpy(values), input=[values.shape])
    return openvino.Core().compile_model(model, "CPU", engine_settings(RunOptions())).create_infer_request()


class Conv(nn.Sequential):
    """Convolution, batch norm, SiLU."""

    def __init__(
        self, c_in: int, c_out: int, kernel: int = 1, stride: int = 1, groups: int = 1, act: bool = True
    ) -> None:
        super().__init__(
            nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(c_out, eps=1e-3),
            nn.SiLU() if act else nn.Identity(),
        )


class Bottleneck(nn.Module):
    """Two 3x3 convolutions and what went in."""

    def __init__(self, channels: int, share: float) -> None:
        super().__init__()
        hidden = int(channels * share)
        self.body = nn.Sequential(Conv(channels, hidden, 3), Conv(hidden, channels, 3))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


class C3k(nn.Module):
    """Two bottlenecks beside a bypass."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // 2
        self.main = nn.Sequential(Conv(channels, hidden), Bottleneck(hidden, 1.0), Bottleneck(hidden, 1.0))
        self.bypass = Conv(channels, hidden)
        self.out = Conv(2 * hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(torch.cat((self.main(x), self.bypass(x)), 1))
        return out


class C3k2(nn.Module):
    """Half of the channels through a block; halves and result are joined."""

    def __init__(self, c_in: int, c_out: int, deep: bool, share: float = 0.5) -> None:
        super().__init__()
        hidden = int(c_out * share)
        self.split = Conv(c_in, 2 * hidden)
        self.block = C3k(hidden) if deep else Bottleneck(hidden, 0.5)
        self.out = Conv(3 * hidden, c_out)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.split(x).chunk(2, 1)
        out: Tensor = self.out(torch.cat((a, b, self.block(b)), 1))
        return out


class SPPF(nn.Module):
    """Three max poolings in a row, all kept."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow, self.out = Conv(channels, channels // 2), Conv(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.narrow(x)]
        for _ in range(3):
            maps.append(F.max_pool2d(maps[-1], 5, 1, 2))
        out: Tensor = self.out(torch.cat(maps, 1))
        return out


class C2PSA(nn.Module):
    """Half of the channels through self-attention over all places and a feed-forward."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.width = channels // 2
        self.heads = self.width // 64
        self.key = self.width // self.heads // 2
        self.split, self.out = Conv(channels, channels), Conv(channels, channels)
        self.qkv = Conv(self.width, self.width + 2 * self.key * self.heads, act=False)
        self.place = Conv(self.width, self.width, 3, groups=self.width, act=False)
        self.project = Conv(self.width, self.width, act=False)
        self.feedforward = nn.Sequential(Conv(self.width, 2 * self.width), Conv(2 * self.width, self.width, act=False))

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.split(x).chunk(2, 1)
        q, k, v = self.qkv(b).flatten(2).unflatten(1, (self.heads, -1)).split((self.key, self.key, 2 * self.key), 2)
        weights = ((q.transpose(2, 3) @ k) * self.key**-0.5).softmax(-1)
        seen = (v @ weights.transpose(2, 3)).reshape(b.shape)
        b = b + self.project(seen + self.place(v.reshape(b.shape)))
        out: Tensor = self.out(torch.cat((a, b + self.feedforward(b)), 1))
        return out


class Yolo11nSeg(nn.Module):
    """float32 [1,3,H,W] -> box, class and mask logits [1,176,N] of all three levels, and prototypes [1,32,H/4,W/4]."""

    def __init__(self) -> None:
        super().__init__()
        self.to_c3 = nn.Sequential(
            Conv(3, 16, 3, 2),
            Conv(16, 32, 3, 2),
            C3k2(32, 64, False, 0.25),
            Conv(64, 64, 3, 2),
            C3k2(64, 128, False, 0.25),
        )
        self.to_c4 = nn.Sequential(Conv(128, 128, 3, 2), C3k2(128, 128, True))
        self.to_c5 = nn.Sequential(Conv(128, 256, 3, 2), C3k2(256, 256, True), SPPF(256), C2PSA(256))
        self.up4, self.up3 = C3k2(384, 128, False), C3k2(256, 64, False)
        self.down4, self.out4 = Conv(64, 64, 3, 2), C3k2(192, 128, False)
        self.down5, self.out5 = Conv(128, 128, 3, 2), C3k2(384, 256, True)
        self.boxes = nn.ModuleList(_head(c, 64, 4 * BINS) for c in (64, 128, 256))
        self.classes = nn.ModuleList(_class_head(c) for c in (64, 128, 256))
        self.masks = nn.ModuleList(_head(c, 32, PROTOTYPES) for c in (64, 128, 256))
        self.prototypes = nn.Sequential(
            Conv(64, 64, 3), nn.ConvTranspose2d(64, 64, 2, 2), Conv(64, 64, 3), Conv(64, PROTOTYPES)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        c3 = self.to_c3(x)
        c4 = self.to_c4(c3)
        c5 = self.to_c5(c4)
        p4 = self.up4(torch.cat((F.interpolate(c5, scale_factor=2.0), c4), 1))
        p3 = self.up3(torch.cat((F.interpolate(p4, scale_factor=2.0), c3), 1))
        p4 = self.out4(torch.cat((self.down4(p3), p4), 1))
        p5 = self.out5(torch.cat((self.down5(p4), c5), 1))
        levels = zip((p3, p4, p5), self.boxes, self.classes, self.masks, strict=True)
        found = [torch.cat((box(p), kind(p), mask(p)), 1).flatten(2) for p, box, kind, mask in levels]
        return torch.cat(found, 2), self.prototypes(p3)


def _head(channels: int, hidden: int, out: int) -> nn.Module:
    return nn.Sequential(Conv(channels, hidden, 3), Conv(hidden, hidden, 3), nn.Conv2d(hidden, out, 1))


def _class_head(channels: int) -> nn.Module:
    return nn.Sequential(
        Conv(channels, channels, 3, groups=channels),
        Conv(channels, CLASSES),
        Conv(CLASSES, CLASSES, 3, groups=CLASSES),
        Conv(CLASSES, CLASSES),
        nn.Conv2d(CLASSES, CLASSES, 1),
    )


if __name__ == "__main__":
    main()
