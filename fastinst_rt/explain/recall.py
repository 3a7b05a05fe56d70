"""The numbers behind table III: how many labelled instances have a query inside, for N_a queries, both ways."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastinst_rt.explain.observation import Observation
from fastinst_rt.explain.places import covered, query_places
from fastinst_rt.explain.truth import Truth

COUNTS = (10, 50, 100)
"""N_a of table III."""
SIZES: tuple[tuple[str, float, float], ...] = (
    ("all", 0, np.inf),
    ("small", 0, 32**2),
    ("medium", 32**2, 96**2),
    ("large", 96**2, np.inf),
)
"""COCO's area classes, in pixels of the labelled picture."""


@dataclass(frozen=True)
class Recall:
    """Coverage of labelled instances by query places.

    Attributes:
        counts: N_a.
        hits: bool [2, len(counts), instances]: by score alone, local maxima first.
        areas: float64 [instances], pixels.
        pictures: how many were looked at.
    """

    counts: tuple[int, ...]
    hits: npt.NDArray[np.bool_]
    areas: npt.NDArray[np.float64]
    pictures: int

    def share(self, local_maximum_first: bool, count: int, size: str = "all") -> float:
        """Share of the instances of a size that have one of `count` queries inside; NaN for no instances."""
        chosen = self._of_size(size)
        hits = self.hits[int(local_maximum_first), self.counts.index(count), chosen]
        return float(hits.mean()) if len(hits) else float("nan")

    def moved(self, count: int) -> tuple[int, int]:
        """Instances that local maxima first gains and loses against score alone."""
        plain, first = self.hits[:, self.counts.index(count)]
        return int(np.count_nonzero(first & ~plain)), int(np.count_nonzero(plain & ~first))

    def _of_size(self, size: str) -> npt.NDArray[np.bool_]:
        low, high = next((low, high) for name, low, high in SIZES if name == size)
        return (self.areas >= low) & (self.areas < high)

    def table(self) -> list[list[str]]:
        """Rows of texts: N_a, order, share of all / small / medium / large, gained and lost."""
        rows = []
        for count in self.counts:
            gained, lost = self.moved(count)
            for first in (False, True):
                shares = [_percent(self.share(first, count, size)) for size, _, _ in SIZES]
                change = f"+{gained} -{lost}" if first else ""
                rows.append([str(count), "local maxima first" if first else "by score alone", *shares, change])
        return rows

    def sentence(self) -> str:
        """Whether local maxima first helps where there are fewest queries, if anything was labelled."""
        if not len(self.areas):
            return f"No instance is labelled in these {self.pictures} pictures, so there is nothing to measure."
        fewest = min(self.counts)
        plain, first = (self.share(way, fewest) for way in (False, True))
        verdict = "is not worse" if first >= plain else "IS WORSE"
        gained, lost = self.moved(fewest)
        return (
            f"With {fewest} queries, local maxima first {verdict}: {first:.1%} of {len(self.areas)} instances have a "
            f"query inside, {plain:.1%} by score alone ({gained} gained, {lost} lost; {self.pictures} pictures)."
        )

    def as_json(self) -> dict[str, Any]:
        """The table as JSON values."""
        return {
            "pictures": self.pictures,
            "instances": len(self.areas),
            "rows": [
                {
                    "num_queries": count,
                    "local_maximum_first": first,
                    **{size: _number(self.share(first, count, size)) for size, _, _ in SIZES},
                }
                for count in self.counts
                for first in (False, True)
            ],
        }


def measure_recall(seen: Iterable[tuple[Observation, Truth]], counts: Sequence[int] = COUNTS) -> Recall:
    """Coverage over labelled pictures; crowd regions do not count.

    Args:
        seen: what the network saw, and the labels of the same picture.
        counts: numbers of queries.
    """
    hits: list[npt.NDArray[np.bool_]] = []
    areas: list[npt.NDArray[np.float64]] = []
    pictures = 0
    for observation, truth in seen:
        pictures += 1
        both = [
            [
                covered(query_places(observation, count, local_maximum_first=first), truth.masks, observation.geometry)
                for count in counts
            ]
            for first in (False, True)
        ]
        hits.append(np.array(both, np.bool_).reshape(2, len(counts), len(truth)))
        areas.append(truth.masks.sum((1, 2)).astype(np.float64))
    if not hits:
        return Recall(tuple(counts), np.zeros((2, len(counts), 0), np.bool_), np.zeros(0), 0)
    return Recall(tuple(counts), np.concatenate(hits, axis=2), np.concatenate(areas), pictures)


def _number(share: float) -> float | None:
    return None if np.isnan(share) else share


def _percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{share:.1%}"
