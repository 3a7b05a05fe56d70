"""Where results go: what every sink offers."""

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fastinst_rt.results import Frame, Instances


class Sink(Protocol):
    """Takes each frame with its instances; used by one thread.

    Attributes:
        needs_overlay: whether `write` wants the annotated picture (the pipeline draws it only if some sink does).
        path: what it writes, None for a sink that is no file.
        notes: sentences for the summary (streams left out, encoder that was chosen, ...).
    """

    needs_overlay: bool
    notes: list[str]

    @property
    def path(self) -> Path | None: ...

    def write(self, frame: Frame, annotated: npt.NDArray[np.uint8] | None, instances: Instances) -> None:
        """Takes one frame; `annotated` is uint8 [H, W, 3] BGR, there when `needs_overlay` is.

        Raises:
            OutputError: the output cannot be written; call `abort` then.
        """
        ...

    def close(self) -> None:
        """Everything is in: finalise and move into place.

        Raises:
            OutputError: the output cannot be finalised.
        """
        ...

    def abort(self) -> None:
        """The run broke off: finalise what is there, keeping it playable; raises nothing."""
        ...
