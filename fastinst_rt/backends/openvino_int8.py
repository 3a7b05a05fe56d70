"""INT8 for OpenVINO: post-training quantisation with NNCF, which leaves the choice of proposals in FP32."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastinst_rt.errors import EngineError

LEAST_PICTURES = 8
"""Below this the ranges of activations are guesswork; NNCF's own advice is 300."""


def quantised(model: Any, pictures: Sequence[npt.NDArray[np.uint8]], batch: int) -> Any:
    """A copy of an OpenVINO model with INT8 weights and activations.

    Args:
        model: takes uint8 [batch, h, w, 3].
        pictures: uint8 [h, w, 3] RGB to calibrate on.

    Raises:
        EngineError: with too few pictures.
    """
    if len(pictures) < LEAST_PICTURES:
        raise EngineError(
            f"INT8 must be calibrated on at least {LEAST_PICTURES} pictures, and there are {len(pictures)}.",
            "Give a folder of pictures like those it will see with `fastinst-rt compile --calibration-images DIR`.",
        )
    import nncf

    batches = [np.stack([pictures[(i + j) % len(pictures)] for j in range(batch)]) for i in range(len(pictures))]
    return nncf.quantize(
        model,
        nncf.Dataset(batches),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(batches),
        ignored_scope=nncf.IgnoredScope(names=proposal_nodes(model)),
    )


def proposal_nodes(model: Any) -> list[str]:
    """Names of the operators that only decide which proposals are picked: what leads to a TopK and nowhere else.

    One level of INT8 is 1/255 of the range of the proposal logits: ties and a new order, so other queries.
    """
    ordered = model.get_ordered_ops()
    choices = [node for node in ordered if node.get_type_name() == "TopK"]
    deciding = _ancestors(choices)
    elsewhere = _ancestors(model.get_results(), beyond={node.get_name() for node in choices})
    return [
        node.get_friendly_name()
        for node in ordered
        if node.get_name() in deciding - elsewhere and node.get_type_name() != "Constant"
    ]


def _ancestors(starts: Iterable[Any], beyond: Iterable[str] = ()) -> set[str]:
    """Unique names of everything that leads to `starts`, not looking beyond the nodes named."""
    seen = set(beyond)
    waiting = list(starts)
    while waiting:
        node = waiting.pop()
        if node.get_name() not in seen:
            seen.add(node.get_name())
            waiting += [entry.get_source_output().get_node() for entry in node.inputs()]
    return seen.difference(beyond)
