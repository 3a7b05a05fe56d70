"""The gate passes what finds the same instances, in whatever order, and stops what does not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fastinst_rt.backends.base import EngineInfo
from fastinst_rt.backends.parity import GATES, ParityReport, candidates, compare
from fastinst_rt.backends.pictures import drawn_pictures
from fastinst_rt.errors import ParityError

SIZE = (64, 96)
QUERIES, CLASSES = 20, 6


class Recorded:
    """An engine that gives logits made for each picture beforehand, found again by the picture's mean."""

    def __init__(self, answers: dict[float, tuple[Tensor, Tensor]], batch: int = 1) -> None:
        self.info = EngineInfo("recorded", "none", "fp32", "cpu", batch, SIZE, SIZE)
        self.answers = answers
        self.calls = 0

    def __call__(self, images: np.ndarray) -> tuple[Tensor, Tensor]:
        self.calls += 1
        assert len(images) == self.info.batch
        found = [self.answers[float(image.mean())] for image in images]
        return torch.stack([logits for logits, _ in found]), torch.stack([masks for _, masks in found])

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return drawn_pictures(3, SIZE)


def _answers(pictures: list[np.ndarray], sharpness: float) -> dict[float, tuple[Tensor, Tensor]]:
    """Blobs that hardly overlap, with clear classes where `sharpness` is large."""
    generator = torch.Generator().manual_seed(5)
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(36.0), indexing="ij")
    answers = {}
    for picture in pictures:
        masks = []
        for query in range(QUERIES):
            y, x = 3 + 5 * (query % 4), 4 + 7 * (query // 4)
            masks.append(9 - (rows - y) ** 2 - (columns - x) ** 2)
        logits = sharpness * torch.randn(QUERIES, CLASSES + 1, generator=generator)
        answers[float(picture.mean())] = (logits, torch.stack(masks))
    return answers


@pytest.fixture(params=[0.1, 8.0], ids=["untrained scores", "confident scores"])
def answers(request: pytest.FixtureRequest, pictures: list[np.ndarray]) -> dict[float, tuple[Tensor, Tensor]]:
    return _answers(pictures, request.param)


def _judge(pictures, answers, change, precision: str = "fp32") -> ParityReport:
    changed = {key: change(logits.clone(), masks.clone()) for key, (logits, masks) in answers.items()}
    return compare(Recorded(answers), Recorded(changed), pictures, GATES[precision])


@pytest.mark.parametrize("precision", GATES)
def test_the_same_passes(pictures, answers, precision: str) -> None:
    report = _judge(pictures, answers, lambda logits, masks: (logits, masks), precision)
    assert report.passed
    assert report.agreement == 1.0
    assert report.mean_iou == 1.0
    assert report.worst_score == 0.0
    assert report.instances >= 2 * len(pictures)


def test_the_order_of_queries_is_free(pictures, answers) -> None:
    assert _judge(pictures, answers, lambda logits, masks: (logits.flip(0), masks.flip(0))).passed


def test_the_best_are_compared_where_nothing_is_confident(pictures) -> None:
    report = _judge(pictures, _answers(pictures, 0.1), lambda logits, masks: (logits, masks))
    assert report.confident == 0
    assert report.instances == 2 * len(pictures) * 10


def _lose_the_best(logits: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    best = int(logits.softmax(-1)[:, :-1].amax(1).argmax())
    logits[best] = torch.tensor([-9.0] * CLASSES + [9.0])
    return logits, masks


def _add_one(logits: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    worst = int(logits.softmax(-1)[:, :-1].amax(1).argmin())
    logits[worst] = torch.tensor([9.0] + [-9.0] * CLASSES)
    return logits, masks


CHANGES = {
    "classes turned": lambda logits, masks: (torch.cat((logits[:, 1:-1], logits[:, :1], logits[:, -1:]), 1), masks),
    "masks moved by three cells": lambda logits, masks: (logits, masks.roll(3, -1)),
    "masks of other queries": lambda logits, masks: (logits, masks.roll(1, 0)),
    "masks shrunk": lambda logits, masks: (logits, masks - 4),
    "masks empty": lambda logits, masks: (logits, masks - 100),
    "masks full": lambda logits, masks: (logits, masks + 1000),
    "scores flattened": lambda logits, masks: (logits * 0.3 + torch.tensor([0.0] * CLASSES + [2.0]), masks),
    "best instance lost": _lose_the_best,
    "an instance invented": _add_one,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_difference_is_stopped(pictures, answers, change: str, precision: str) -> None:
    assert not _judge(pictures, answers, CHANGES[change], precision).passed


def test_noise_of_int8_passes_only_the_gate_of_int8(pictures) -> None:
    def blur(logits: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(7)
        noise = torch.randn(masks.shape, generator=generator)
        return logits + 0.02, masks + 0.5 * noise

    sharp = _answers(pictures, 8.0)
    assert _judge(pictures, sharp, blur, "int8").passed
    assert not _judge(pictures, sharp, blur, "fp32").passed


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_stopped(pictures, answers, value: float) -> None:
    def spoil(logits: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        masks[0, 0, 0] = value
        return logits, masks

    with pytest.raises(ParityError, match="not finite"):
        _judge(pictures, answers, spoil)


def test_masks_below_zero_are_compared_by_their_shapes(pictures, answers) -> None:
    below = {key: (logits, masks - 1000) for key, (logits, masks) in answers.items()}
    report = _judge(pictures, below, lambda logits, masks: (logits, masks))
    assert report.passed
    assert report.centred
    assert report.instances >= 2 * len(pictures)
    assert not _judge(pictures, below, CHANGES["masks of other queries"]).passed


def test_masks_without_any_shape_prove_nothing(pictures, answers) -> None:
    flat = {key: (logits, torch.full_like(masks, -5)) for key, (logits, masks) in answers.items()}
    report = compare(Recorded(flat), Recorded(flat), pictures, GATES["fp32"])
    assert report.instances == 0
    assert not report.passed


def test_every_place_of_a_batch_is_tried(pictures, answers) -> None:
    engine = Recorded(answers, batch=2)
    report = compare(Recorded(answers), engine, pictures, GATES["fp32"])
    assert report.passed
    assert report.batch == 2
    assert engine.calls == 2

    class WrongInTheSecondPlace(Recorded):
        def __call__(self, images: np.ndarray) -> tuple[Tensor, Tensor]:
            logits, masks = super().__call__(images)
            masks[1] = masks[0]
            logits[1] = logits[0]
            return logits, masks

    assert not compare(Recorded(answers), WrongInTheSecondPlace(answers, 2), pictures, GATES["fp32"]).passed


def test_candidates_have_masks_and_fall_in_score(answers) -> None:
    logits, masks = next(iter(answers.values()))
    masks = masks.clone()
    masks[::2] -= 1000
    found = candidates(logits, masks)
    assert len(found.scores) == QUERIES // 2 * CLASSES
    assert found.masks.flatten(1).any(1).all()
    assert (found.scores.diff() <= 0).all()


def test_a_report_can_be_read_by_people_and_programs(pictures, answers) -> None:
    report = _judge(pictures, answers, CHANGES["masks moved by three cells"])
    assert "at least 98% must" in report.sentence()
    assert replace(report).to_json()["gate"]["agreement"] == 0.98


def test_drawn_pictures_are_always_the_same() -> None:
    first, again = drawn_pictures(2, (48, 80)), drawn_pictures(2, (48, 80))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])
    assert first[0].shape == (48, 80, 3)
    assert first[0].dtype == np.uint8
