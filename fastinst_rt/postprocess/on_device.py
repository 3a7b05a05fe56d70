"""Instance inference where the logits are: select, enlarge and composite on the GPU, one copy to the host a picture.

The same rules as `instances`, written as a few batched operations. Masks come to the host as bits, one plane a mask, so
nothing is lost where they overlap: 16 masks of 1080p are 4 MB.

How many instances a picture has is only known on the GPU, and asking would make the host wait. So room is made for as
many as recent pictures had, and a picture that has more is done again with more room.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from time import perf_counter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fastinst_rt.categories import Categories
from fastinst_rt.postprocess.enlarge import axes
from fastinst_rt.postprocess.instances import MAX_PAIRS
from fastinst_rt.results import Geometry, Instances, MaskCrop, Size, Timings

_LEAST_ROOM = 8

# Masks enlarged at once: 8 of 1080p are 66 MB of float32.
_CHUNK = 8

# Bytes a mask in the header of the copy: score, class, box.
_HEADER = 4 * 6


class Found(NamedTuple):
    """The pairs of (query, class) that may be instances, best score first, still on the device; `room` of them.

    Attributes:
        candidates: int32 [], how many pairs had a class probability over the threshold; more than `room` means that
            some are missing here.
        scores: float32 [room], class probability x mean mask probability; -1 where it is under the threshold.
        class_ids: int32 [room].
        boxes: int32 [room, 4], xyxy, x2 and y2 exclusive; zeros for an empty mask.
        masks: bool [room, H, W].
    """

    candidates: Tensor
    scores: Tensor
    class_ids: Tensor
    boxes: Tensor
    masks: Tensor


class DeviceInstances:
    """`instances` for logits on a GPU; remembers how much room the last pictures took. Use it from one thread."""

    def __init__(self) -> None:
        self.room = _LEAST_ROOM
        self._pinned = torch.empty(0, dtype=torch.uint8)

    def __call__(
        self,
        pred_logits: Tensor,
        pred_masks: Tensor,
        geometry: Geometry,
        categories: Categories,
        *,
        score: float = 0.5,
        max_instances: int = 100,
        classes: Iterable[int] | None = None,
    ) -> Instances:
        """Arguments and result as `instances`; `timings.enlarge` holds all of it, the wait for the engine included."""
        start = perf_counter()
        wanted = None if classes is None else tuple(sorted(set(classes)))
        while True:
            found = find(pred_logits, pred_masks, geometry, score=score, classes=wanted, room=self.room)
            host = self._fetch(torch.cat([part.flatten().view(torch.uint8) for part in _packed(found)]))
            candidates = int(host[:4].view(np.int32)[0])
            last_room, self.room = len(found.scores), _room_for(candidates)
            if candidates <= last_room:
                break
        made = _unpack(host[4:], last_room, geometry.frame, categories, max_instances)
        return replace(made, timings=Timings(enlarge=perf_counter() - start))

    def _fetch(self, packed: Tensor) -> npt.NDArray[np.uint8]:
        """The one copy; on a GPU through pinned memory that is used again. Valid until the next call."""
        if not packed.is_cuda:
            return np.asarray(packed)
        if len(self._pinned) < len(packed):
            self._pinned = torch.empty(len(packed), dtype=torch.uint8, pin_memory=True)
        host = self._pinned[: len(packed)]
        host.copy_(packed, non_blocking=True)
        torch.cuda.current_stream(packed.device).synchronize()
        return np.asarray(host)


def _room_for(candidates: int) -> int:
    """Twice what was needed, in steps of 8, up to all."""
    return min(MAX_PAIRS, max(_LEAST_ROOM, -(-2 * candidates // 8) * 8))


def find(
    pred_logits: Tensor,
    pred_masks: Tensor,
    geometry: Geometry,
    *,
    score: float,
    classes: tuple[int, ...] | None,
    room: int,
) -> Found:
    """Select and enlarge without waiting for the device.

    Args:
        pred_logits: float [Q, K+1].
        pred_masks: float [Q, h, w], mask logits of the padded input, at stride 8 (fine masks: 4).
        score: threshold on the class probability here, and on the score in the end.
        classes: class indices to look at, ascending; None for all.
        room: pairs to look at, best class probability first.
    """
    probability = pred_logits.detach().float().softmax(-1)[:, :-1]
    if classes is not None:
        probability = probability.index_select(1, _constant(classes, probability.device))
    kinds = probability.shape[1]
    best = probability.flatten().topk(min(room, probability.numel()))
    candidates = (probability >= score).sum(dtype=torch.int32).clamp_max(min(MAX_PAIRS, probability.numel()))
    query, class_id = best.indices // max(1, kinds), best.indices % max(1, kinds)
    if classes is not None:
        class_id = _constant(classes, class_id.device)[class_id]

    masks, mean = _enlarge(pred_masks.detach()[query].float(), geometry)
    final = best.values * mean
    final = torch.where((final >= score) & (best.values >= score), final, -1.0)
    order = final.argsort(descending=True, stable=True)
    masks = masks[order]
    return Found(candidates, final[order], class_id[order].to(torch.int32), _boxes(masks), masks)


def _enlarge(logits: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """Masks at frame size, bool [N, H, W], and the mean mask probability inside each, float [N]."""
    rows, columns = _matrices(geometry, (logits.shape[1], logits.shape[2]), logits.device)
    masks = torch.empty((len(logits), *geometry.frame), dtype=torch.bool, device=logits.device)
    means = []
    for start in range(0, len(logits), _CHUNK):
        fine = rows @ logits[start : start + _CHUNK] @ columns
        inside = torch.gt(fine, 0, out=masks[start : start + _CHUNK])
        total = fine.sigmoid_().mul_(inside).sum((1, 2))
        means.append(total / (inside.sum((1, 2)) + 1e-6))
    return masks, torch.cat(means) if means else logits.new_zeros(0)


@lru_cache(maxsize=8)
def _matrices(geometry: Geometry, cells: Size, device: torch.device) -> tuple[Tensor, Tensor]:
    """The enlargement of `postprocess.enlarge` as [H, h] and [w, W] on the device."""
    vertical, horizontal = axes(geometry, cells)
    rows, columns = torch.from_numpy(vertical.weights), torch.from_numpy(horizontal.weights)
    return rows.to(device), columns.T.contiguous().to(device)


@lru_cache(maxsize=8)
def _constant(values: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.int64, device=device)


def _boxes(masks: Tensor) -> Tensor:
    y1, y2 = _span(masks.any(2))
    x1, x2 = _span(masks.any(1))
    return torch.stack((x1, y1, x2, y2), 1)


def _span(some: Tensor) -> tuple[Tensor, Tensor]:
    """bool [N, n] -> first and one-past-last True, int32 [N]; 0, 0 where there is none."""
    length = some.shape[1]
    place = torch.arange(length, dtype=torch.int32, device=some.device)
    last = torch.where(some, place + 1, 0).amax(1)
    first = torch.where(some, place, length).amin(1)
    return torch.minimum(first, last), last


def _packed(found: Found) -> tuple[Tensor, ...]:
    """What goes to the host, in one piece: count, scores, classes, boxes, and the masks as bits along the rows."""
    width = found.masks.shape[2]
    spare = -width % 8
    bits = torch.nn.functional.pad(found.masks, (0, spare)).view(*found.masks.shape[:2], -(-width // 8), 8)
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=bits.device)
    planes = bits.to(torch.uint8).bitwise_left_shift(shifts).sum(3, dtype=torch.uint8)
    return found.candidates, found.scores, found.class_ids, found.boxes, planes


def _unpack(
    host: npt.NDArray[np.uint8], room: int, frame: Size, categories: Categories, max_instances: int
) -> Instances:
    """Instances from the copied bytes."""
    header, planes = host[: room * _HEADER], host[room * _HEADER :].reshape(room, frame[0], -(-frame[1] // 8))
    scores = header[: 4 * room].view(np.float32)
    count = min(int(np.count_nonzero(scores >= 0)), max_instances)
    boxes = header[8 * room :].view(np.int32).reshape(room, 4)[:count]
    return Instances(
        size=frame,
        scores=scores[:count].copy(),
        class_ids=header[4 * room : 8 * room].view(np.int32)[:count].astype(np.int64),
        boxes=boxes.astype(np.float32),
        crops=tuple(_crop(plane, *map(int, box)) for plane, box in zip(planes, boxes, strict=False)),
        categories=categories,
    )


def _crop(plane: npt.NDArray[np.uint8], x1: int, y1: int, x2: int, y2: int) -> MaskCrop:
    first = x1 // 8
    part = np.unpackbits(plane[y1:y2, first : -(-x2 // 8)], axis=1).view(np.bool_)
    return MaskCrop(x1, y1, part[:, x1 - 8 * first : x2 - 8 * first])


def label_map(found: Found) -> Tensor:
    """uint8 [H, W]: 0 is background, i + 1 the i-th best; where masks overlap the better score wins. Does not wait."""
    kept = found.scores >= 0
    rank = torch.arange(len(found.scores), 0, -1, dtype=torch.uint8, device=kept.device)
    top = torch.where(found.masks, (rank * kept).view(-1, 1, 1), 0).amax(0)
    return torch.where(top > 0, len(found.scores) + 1 - top, 0).to(torch.uint8)


def paint(frame: Tensor, labels: Tensor, colours: Tensor, opacity: float) -> Tensor:
    """Colours over a frame on the device.

    Args:
        frame: uint8 [H, W, 3].
        labels: uint8 [H, W], from `label_map`.
        colours: uint8 [N, 3], of label 1, 2, ...
        opacity: 0..1.

    Returns:
        uint8 [H, W, 3].
    """
    table = torch.cat((colours.new_zeros(1, 3), colours)).float() * opacity
    weight = torch.where(labels > 0, 1 - opacity, 1.0).unsqueeze(-1)
    return (frame * weight + table[labels.int()]).round_().to(torch.uint8)
