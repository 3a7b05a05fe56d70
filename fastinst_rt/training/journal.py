"""What a training run leaves behind: checkpoints and a CSV log."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fastinst_rt.errors import WeightsError

CHECKPOINT = "checkpoint.pt"
LOG = "log.csv"


def save_checkpoint(folder: Path, state: Mapping[str, Any]) -> None:
    """Write the checkpoint beside its name and move it into place: an interruption leaves the old one whole."""
    partial = folder / f"{CHECKPOINT}.partial"
    torch.save(dict(state), partial)
    partial.replace(folder / CHECKPOINT)


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The checkpoint of a folder, or None where there is none. Tensors and plain values only, no pickled code.

    Raises:
        WeightsError: the file is damaged.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"The checkpoint {path} cannot be read: {error}.", "Remove it to start anew, or give another folder."
        ) from error
    return state


class Log:
    """A CSV file with a row every few steps; a resumed run drops the rows after its checkpoint.

    Args:
        path: the file.
        start: the first step that is still to come.
    """

    def __init__(self, path: Path, start: int) -> None:
        rows: list[dict[str, str]] = []
        if path.exists() and start:
            with path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["iteration"]) < start]
        self._path = path
        self._names: list[str] = list(rows[0]) if rows else []
        with path.open("w", newline="") as file:
            if rows:
                writer = csv.DictWriter(file, self._names)
                writer.writeheader()
                writer.writerows(rows)

    def add(self, row: Mapping[str, float]) -> None:
        """Append a row; every row has the same columns."""
        with self._path.open("a", newline="") as file:
            if not self._names:
                self._names = list(row)
                csv.DictWriter(file, self._names).writeheader()
            csv.DictWriter(file, self._names).writerow({k: f"{v:.6g}" for k, v in row.items()})
