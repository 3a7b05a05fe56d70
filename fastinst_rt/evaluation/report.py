"""The result of an evaluation: figures for all classes together and class by class, as table and as JSON."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastinst_rt.errors import OutputError

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class ClassResult:
    """One class.

    Attributes:
        name: of the class.
        count: labelled instances or segments (instance, panoptic, Cityscapes), or pixels (semantic).
        figures: name -> 0..1, NaN where there is nothing to measure.
    """

    name: str
    count: int
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    Attributes:
        task: "instance", "panoptic", "semantic", "cityscapes" or "clip".
        definition: whose definition the figures follow, one line.
        images: pictures evaluated.
        figures: name -> 0..1, NaN where there is nothing to measure; the first is the one to quote.
        classes: class by class.
        notes: what a reader must know to compare the figures, one line each.
        settings: how they were made: model, engine, sizes, exact or fast.
    """

    task: str
    definition: str
    images: int
    figures: Mapping[str, float]
    classes: Sequence[ClassResult] = ()
    notes: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; figures are 0..1, null where there is nothing to measure."""
        return {
            "task": self.task,
            "definition": self.definition,
            "settings": dict(self.settings),
            "images": self.images,
            "figures": _plain(self.figures),
            "classes": [{"name": c.name, "count": c.count} | _plain(c.figures) for c in self.classes],
            "notes": list(self.notes),
        }

    def save(self, path: Path) -> None:
        """Write `to_dict` as JSON.

        Raises:
            OutputError: the file cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self.to_dict(), indent=2) + "\n")
        except OSError as error:
            raise OutputError(
                f"The results cannot be written to {path}: {error.strerror}.", "Choose another place with --json."
            ) from error

    def tables(self) -> "RenderableType":
        """Tables for a terminal, figures in percent: all classes together, then every class that has labels."""
        from rich.console import Group
        from rich.table import Table

        parts: list[RenderableType] = []
        total = Table(title=f"{self.task}, {self.images} images [%]", box=None, pad_edge=False, title_justify="left")
        for name in self.figures:
            total.add_column(name, justify="right")
        total.add_row(*(_percent(value) for value in self.figures.values()))
        parts.append(total)
        shown = [c for c in self.classes if c.count or any(not math.isnan(v) for v in c.figures.values())]
        if shown:
            by_class = Table(box=None, pad_edge=False)
            by_class.add_column("class")
            for name in ("count", *shown[0].figures):
                by_class.add_column(name, justify="right")
            for one in shown:
                by_class.add_row(one.name, str(one.count), *(_percent(value) for value in one.figures.values()))
            parts += ["", by_class]
        parts += [f"({note})" for note in (self.definition, *self.notes)]
        return Group(*parts)


def _plain(figures: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else float(value) for name, value in figures.items()}


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"
