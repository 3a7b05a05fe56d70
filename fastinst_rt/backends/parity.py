"""The parity gate: an engine is used only if it finds the same instances as the FP32 eager network.

Logits are not compared one by one: queries may come in another order, and a mask logit near zero flips a pixel of the
attention mask in any two float32 implementations. What a user gets is a set of instances, so sets are compared:
instances are paired by class and mask IoU, one to one, in both directions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fastinst_rt.backends.base import Engine
from fastinst_rt.errors import ParityError

SCORE = 0.5
"""Instances from this score on must be found: what the program shows by default."""
TOP_K = 10
"""Where no instance of a picture reaches SCORE (untrained weights, an empty street): the best ones are compared, so
that the comparison is never empty."""
CANDIDATES = 100
"""(query, class) pairs a picture that an instance may be paired with: as many as the published inference keeps."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What an engine of one precision must reach.

    Attributes:
        pair_iou: two instances of one class are the same if their masks overlap this much.
        pair_score: ... and their scores differ by at most this part of the larger one.
        agreement: share of instances that have their partner, both directions counted together.
        mean_iou: mean mask IoU over the pairs.
    """

    pair_iou: float
    pair_score: float
    agreement: float
    mean_iou: float


GATES = {
    # Only the order of float32 additions differs. What is left is the flip of an attention mask's pixel.
    "fp32": Gate(pair_iou=0.90, pair_score=0.05, agreement=0.98, mean_iou=0.99),
    # 11 bits of mantissa move mask edges by a pixel of stride 8 on small instances and scores in the third digit.
    "fp16": Gate(pair_iou=0.85, pair_score=0.10, agreement=0.98, mean_iou=0.97),
    # Quantisation noise is real, and users accept it for the speed: one instance in ten may come or go near the
    # threshold, masks must stay those of the same object.
    "int8": Gate(pair_iou=0.75, pair_score=0.25, agreement=0.90, mean_iou=0.90),
}


@dataclass(frozen=True, slots=True)
class ParityReport:
    """The outcome of one comparison; written into the manifest.

    Attributes:
        passed: whether every threshold was met.
        pictures: pictures compared.
        batch: pictures in one call of the engine.
        instances: instances that had to find a partner, both directions counted.
        confident: how many of them reach `SCORE`; 0 where only the best-k were compared.
        centred: whether the masks were compared above their own means, since the network calls no pixel its own.
        agreement, mean_iou: as in `Gate`, measured.
        worst_score: largest score difference over the pairs.
        gate: the thresholds.
    """

    passed: bool
    pictures: int
    batch: int
    instances: int
    confident: int
    centred: bool
    agreement: float
    mean_iou: float
    worst_score: float
    gate: Gate

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def sentence(self) -> str:
        """One clause for people."""
        return (
            f"{self.agreement:.1%} of {self.instances} instances agree (at least {self.gate.agreement:.0%} must), "
            f"their masks overlap by {self.mean_iou:.3f} (at least {self.gate.mean_iou})"
        )


@dataclass(frozen=True, slots=True)
class Candidates:
    """(query, class) pairs of one picture, best score first.

    Attributes:
        scores: float32 [N]; class probability x mean mask probability inside the mask.
        class_ids: int64 [N].
        masks: bool [N, h, w] at the stride of the mask logits, none of them empty.
    """

    scores: Tensor
    class_ids: Tensor
    masks: Tensor


def compare(reference: Engine, engine: Engine, pictures: Sequence[npt.NDArray[np.uint8]], gate: Gate) -> ParityReport:
    """Run both engines on the pictures and compare what they find.

    Args:
        reference: FP32 eager, of any batch size.
        engine: the engine to prove; called with full batches, so that every place of the batch is tried.
        pictures: uint8 [h, w, 3] RGB, at least one.
        gate: what must be reached.

    Raises:
        ParityError: if the engine gives NaN or infinity.
    """
    answers = list(zip(run(reference, pictures), run(engine, pictures), strict=True))
    # Untrained weights may leave every mask logit below 0: the shapes are still there to be compared.
    centred = not any((masks > 0).any() for (_, masks), _ in answers)
    counts = _Counts()
    for expected, found in answers:
        counts.add(candidates(*expected, centred=centred), candidates(*found, centred=centred), gate)
    agreement = counts.paired / max(counts.wanted, 1)
    mean_iou = float(np.mean(counts.ious)) if counts.ious else 0.0
    # A mask cut at its own mean has no margin there: eager FP32 itself differs from float64 by 3 % of the logits on an
    # untrained fastinst-nano (mean IoU to OpenVINO 0.97), so then it is enough that every instance has its partner.
    needed = gate.pair_iou if centred else gate.mean_iou
    return ParityReport(
        passed=counts.wanted > 0 and agreement >= gate.agreement and mean_iou >= needed,
        pictures=len(pictures),
        batch=engine.info.batch,
        instances=counts.wanted,
        confident=counts.confident,
        centred=centred,
        agreement=agreement,
        mean_iou=mean_iou,
        worst_score=max(counts.score_differences, default=0.0),
        gate=gate,
    )


def run(engine: Engine, pictures: Sequence[npt.NDArray[np.uint8]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits of each picture, on the CPU, through full batches (the last one is filled up from the beginning)."""
    size = engine.info.batch
    for start in range(0, len(pictures), size):
        chosen = [pictures[(start + i) % len(pictures)] for i in range(size)]
        logits, masks = engine(np.stack(chosen))
        logits, masks = logits.cpu().clone(), masks.cpu().clone()
        if not (logits.isfinite().all() and masks.isfinite().all()):
            raise ParityError(
                f"Engine {engine.info.name} gives numbers that are not finite.",
                "Use --precision fp32, or another --backend.",
            )
        for i in range(min(size, len(pictures) - start)):
            yield logits[i], masks[i]


def candidates(pred_logits: Tensor, pred_masks: Tensor, *, centred: bool = False) -> Candidates:
    """The best (query, class) pairs of one picture that have a mask at all.

    Args:
        pred_logits: float32 [Q, K+1].
        pred_masks: float32 [Q, h, w].
        centred: take each mask's mean from it first.
    """
    if centred:
        pred_masks = pred_masks - pred_masks.mean((1, 2), keepdim=True)
    probabilities = pred_logits.softmax(-1)[:, :-1]
    inside = pred_masks > 0
    area = inside.sum((1, 2))
    quality = (pred_masks.sigmoid() * inside).sum((1, 2)) / (area + 1e-6)
    scores = (probabilities * quality[:, None]).flatten()  # an empty mask has quality 0
    best = scores.topk(min(CANDIDATES, scores.numel()))
    query, class_ids = best.indices // probabilities.shape[1], best.indices % probabilities.shape[1]
    keep = area[query] > 0
    return Candidates(best.values[keep], class_ids[keep], inside[query[keep]])


class _Counts:
    """Sums over pictures."""

    def __init__(self) -> None:
        self.wanted = self.paired = self.confident = 0
        self.ious: list[float] = []
        self.score_differences: list[float] = []

    def add(self, expected: Candidates, found: Candidates, gate: Gate) -> None:
        for wanted, offered in ((expected, found), (found, expected)):
            confident = int((wanted.scores >= SCORE).sum())
            count = confident or min(TOP_K, len(wanted.scores))
            pairs = pair(wanted, count, offered, gate)
            self.wanted += count
            self.confident += confident
            self.paired += len(pairs)
            self.ious += [iou for iou, _ in pairs]
            self.score_differences += [difference for _, difference in pairs]


def pair(wanted: Candidates, count: int, offered: Candidates, gate: Gate) -> list[tuple[float, float]]:
    """Give each of the first `count` instances the free partner whose mask overlaps most.

    Returns:
        (mask IoU, absolute score difference) of every pair that `gate` accepts.
    """
    free = torch.ones(len(offered.scores), dtype=torch.bool)
    overlaps = _ious(wanted.masks[:count], offered.masks)
    pairs = []
    for i in range(count):
        difference = (offered.scores - wanted.scores[i]).abs()
        close = difference <= gate.pair_score * torch.maximum(offered.scores, wanted.scores[i])
        iou = overlaps[i].where(free & close & (offered.class_ids == wanted.class_ids[i]), 0.0)
        if not len(iou):
            break
        best = int(iou.argmax())
        if iou[best] >= gate.pair_iou:
            free[best] = False
            pairs.append((float(iou[best]), float(difference[best])))
    return pairs


def _ious(a: Tensor, b: Tensor) -> Tensor:
    """float32 [N, M] of bool [N, h, w] and [M, h, w]."""
    first, second = a.flatten(1).float(), b.flatten(1).float()
    common = first @ second.T
    union = first.sum(1)[:, None] + second.sum(1)[None] - common
    return common / union.clamp(min=1)
