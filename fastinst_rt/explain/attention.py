"""Figure III: what queries attend to: cross-attention of auxiliary queries, or of any other, laid over the picture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastinst_rt.errors import UsageError
from fastinst_rt.explain.drawing import caption, new_figure, outlined, show_input
from fastinst_rt.explain.observation import Observation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Maps = npt.NDArray[np.float32]


def attention_maps(observation: Observation, layer: int = -1) -> Maps:
    """float32 [heads, Q + auxiliary, h, w]: for each head and query a distribution over the pixels the layer looks at.

    Args:
        observation: made with `attention=True`.
        layer: 0 is the first; negative ones count from the end.

    Raises:
        UsageError: if the network has no such layer.
    """
    layers = observation.trace.head_attention
    if not layers:
        raise ValueError("the observation was made without attention=True")
    if not -len(layers) <= layer < len(layers):
        raise UsageError(f"The decoder has {len(layers)} layers, not a layer {layer}.", f"Give 0 to {len(layers) - 1}.")
    weights: Maps = layers[layer][0].float().cpu().numpy()
    return weights


def auxiliary_queries(observation: Observation) -> list[int]:
    """Indices of the auxiliary queries: the last ones."""
    total = observation.trace.query_features.shape[1]
    return list(range(total - observation.trace.scene.auxiliary, total))


def attention_figure(
    observation: Observation, layer: int = -1, queries: Sequence[int] | None = None, per_head: bool = False
) -> tuple["Figure", dict[str, Any]]:
    """Attention over the picture: a panel a query, or with `per_head` a row a query (mean first, then each head).

    Each panel is scaled to its own maximum, which is written into it as a multiple of even attention. Pixels that the
    masked attention blocks have weight 0.

    Args:
        observation: made with `attention=True`.
        layer: of the decoder.
        queries: indices; None for the auxiliary queries.
        per_head: show every head.

    Returns:
        The figure, and `weights` [heads, queries, h, w], `queries` and `layer` as arrays.

    Raises:
        UsageError: for a query or layer that does not exist, or no auxiliary queries and none named.
    """
    weights = attention_maps(observation, layer)
    total = weights.shape[1]
    chosen = list(queries) if queries is not None else auxiliary_queries(observation)
    if not chosen:
        raise UsageError("This network has no auxiliary queries.", "Name queries with --queries.")
    for query in chosen:
        if not 0 <= query < total:
            raise UsageError(f"The network has {total} queries, not a query {query}.", f"Give 0 to {total - 1}.")
    first_auxiliary = total - observation.trace.scene.auxiliary
    names = [f"auxiliary query {q - first_auxiliary}" if q >= first_auxiliary else f"query {q}" for q in chosen]
    panels: list[tuple[str, Maps]] = []
    for query, name in zip(chosen, names, strict=True):
        panels.append((f"{name}, mean of {len(weights)} heads", weights[:, query].mean(0)))
        if per_head:
            panels += [(f"{name}, head {head}", weights[head, query]) for head in range(len(weights))]
    columns = len(weights) + 1 if per_head else min(4, len(chosen))
    number = layer % len(observation.trace.head_attention)
    height, width = observation.geometry.padded
    figure, axes = new_figure(
        columns, -(-len(panels) // columns), height / width, title=f"Cross-attention in layer {number}", cell=3.0
    )
    for panel, (name, heat) in zip(axes.flat, panels, strict=False):
        show_input(panel, observation, grey=True)
        _lay_over(panel, heat, observation)
        caption(panel, name)
    return figure, {"weights": weights[:, chosen], "queries": np.array(chosen), "layer": np.array(number)}


def _lay_over(panel: Any, heat: Maps, observation: Observation) -> None:
    """Heat where attention is above the even level, more opaque the stronger, so that the picture stays readable."""
    from matplotlib import colormaps

    height, width = observation.geometry.padded
    times_even = heat * heat.size
    strength = np.clip((times_even - 1) / max(float(times_even.max()) - 1, 1e-9), 0, 1)
    rgba = colormaps["inferno"](0.25 + 0.75 * strength)
    rgba[..., 3] = 0.95 * strength**0.5
    panel.imshow(rgba, extent=(0, width, height, 0), interpolation="bilinear", zorder=2)
    text = panel.text(
        0.985,
        0.03,
        f"peak {times_even.max():.0f} x even",
        transform=panel.transAxes,
        ha="right",
        fontsize=7,
        zorder=6,
    )
    outlined(text)
