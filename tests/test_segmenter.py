"""The object a user holds, with an engine that answers by rule."""

import numpy as np
import pytest
import torch
from torch import Tensor

from fastinst_rt.backends.base import EngineInfo, Images, Progress
from fastinst_rt.categories import COCO
from fastinst_rt.errors import UsageError
from fastinst_rt.results import Geometry
from fastinst_rt.segmenter import Segmenter


class BrightHalf:
    """Answers with one person where the picture is bright, in one mask; or says so several times."""

    def __init__(self, shape: Geometry, times: int) -> None:
        self._times = times
        self.info = EngineInfo("rule", "bright-half", "fp32", "cpu", 1, shape.resized, shape.padded)
        self.closed = False

    def __call__(self, images: Images) -> tuple[Tensor, Tensor]:
        height, width = self.info.padded
        picture = torch.as_tensor(np.asarray(images))[0].float().mean(-1)
        canvas = torch.zeros(height, width)
        canvas[: picture.shape[0], : picture.shape[1]] = picture
        cells = torch.nn.functional.avg_pool2d(canvas[None, None], 8)[0]
        logits = torch.full((1, self._times, 81), -8.0)
        logits[..., 0] = 8.0
        return logits, ((cells / 255 - 0.5) * 20).repeat(1, self._times, 1, 1)

    def close(self) -> None:
        self.closed = True


class Opener:
    """Opens engines and remembers them."""

    def __init__(self, times: int = 1) -> None:
        self.opened: list[BrightHalf] = []
        self._times = times

    def __call__(self, shape: Geometry, progress: Progress) -> BrightHalf:
        progress("opening", 1.0)
        self.opened.append(BrightHalf(shape, self._times))
        return self.opened[-1]


def half_bright(height: int, width: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2] = 255
    return image


def segmenter(opener: Opener, **settings: object) -> Segmenter:
    return Segmenter(opener, COCO, short_side=96, max_side=160, **settings)


@pytest.mark.parametrize("exact", [False, True])
def test_a_picture_becomes_instances_at_its_own_size(exact: bool) -> None:
    found = segmenter(Opener(), exact=exact)(half_bright(200, 301))
    assert found.class_names == ["person"]
    assert found.masks.shape == (1, 200, 301)
    x1, y1, x2, y2 = found.boxes[0]
    assert (x1, y1, y2) == (0, 0, 200)
    assert abs(x2 - 150) <= 3
    assert found.timings.engine > 0
    assert found.timings.resize > 0


@pytest.mark.parametrize("exact", [False, True])
def test_an_object_found_twice_is_one_where_the_network_needs_it(exact: bool) -> None:
    image = half_bright(100, 150)
    assert len(segmenter(Opener(times=3), exact=exact)(image)) == 3
    assert len(segmenter(Opener(times=3), exact=exact, nms_iou=0.6)(image)) == 1


def test_one_engine_a_shape_opened_once() -> None:
    opener = Opener()
    with segmenter(opener) as seg:
        assert seg.engine_name == "no engine yet"
        assert seg.engine is None
        for height, width in ((100, 150), (200, 300), (150, 100), (100, 150)):
            seg(half_bright(height, width))
        assert [e.info.resized for e in opener.opened] == [(96, 144), (144, 96)]
        assert seg.engine_name == "rule fp32 on cpu"
    assert all(e.closed for e in opener.opened)


def test_prepare_opens_before_the_first_picture_and_reports() -> None:
    opener, steps = Opener(), []
    info = segmenter(opener).prepare((100, 150), lambda step, done: steps.append((step, done)))
    assert info.padded == (96, 160)
    assert steps == [("opening", 1.0)]


def test_score_and_classes() -> None:
    seg = segmenter(Opener(), score=0.9)
    image = half_bright(100, 150)
    assert len(seg(image)) == 1
    seg.score = 1.0
    assert len(seg(image)) == 0
    assert len(segmenter(Opener(), classes=["dog"])(image)) == 0
    with pytest.raises(UsageError, match="'dgo'") as error:
        segmenter(Opener(), classes=["dgo"])
    assert "dog" in error.value.remedy


@pytest.mark.parametrize("shape", [(10, 10), (10, 10, 4), (10, 10, 1)])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="uint8"):
        segmenter(Opener())(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (30, 2000)])
def test_odd_sizes(height: int, width: int) -> None:
    found = segmenter(Opener())(np.full((height, width, 3), 255, np.uint8))
    assert found.masks.all()


def test_stream_gives_every_frame() -> None:
    frames = list(segmenter(Opener()).stream("test:160x96@30,frames=5"))
    assert [frame.index for frame, _ in frames] == [0, 1, 2, 3, 4]
    assert all(found.size == (96, 160) for _, found in frames)
