"""What the figures share: pictures in padded input coordinates, outlines, colours, and writing PNG, SVG and .npz."""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from fastinst_rt.errors import UsageError
from fastinst_rt.explain.observation import Observation
from fastinst_rt.pictures import make_folder, write_bytes
from fastinst_rt.render.palette import PALETTE
from fastinst_rt.results import Geometry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, PALE, PAPER = "#26323a", "#9aa5ad", "#f4f5f6"
MISSED = "#e0218a"
"""Colour of what was not found."""


def new_figure(
    columns: int, rows: int, aspect: float, *, title: str, cell: float = 4.2, lines: int = 1
) -> tuple["Figure", Any]:
    """A figure of rows x columns panels without ticks.

    Args:
        aspect: height / width of a panel.
        cell: width of a panel, inches.
        lines: of each caption.

    Returns:
        The figure and its axes, an object array [rows, columns].

    Raises:
        UsageError: without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(
            "Figures need matplotlib, which is not installed.", "pip install 'fastinst-rt[plot]'"
        ) from error
    aspect = min(max(aspect, 0.3), 2.0)
    height = (cell - 0.1) * aspect + 0.08 + 0.15 * lines
    figure = Figure(figsize=(cell * columns, height * rows + 0.4), layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.04, h_pad=0.03, hspace=0, wspace=0)  # type: ignore[union-attr,call-arg]
    all_axes = figure.subplots(rows, columns, squeeze=False)
    for axes in all_axes.flat:
        axes.set_axis_off()
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=INK, fontweight="bold")
    return figure, all_axes


def caption(axes: "Axes", text: str, colour: str = INK) -> None:
    """A line above a panel."""
    axes.set_title(text, loc="left", fontsize=8.5, color=colour, pad=3)


def on_paper(axes: "Axes") -> None:
    """A pale ground, to be seen where no picture is."""
    axes.set_facecolor(PAPER)
    axes.set_axis_on()
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)


def show_input(axes: "Axes", observation: Observation, *, grey: bool = False) -> None:
    """The picture as the network gets it, padding included (hatched), in pixels of the padded input."""
    (height, width), (padded_height, padded_width) = observation.geometry.resized, observation.geometry.padded
    on_paper(axes)
    if (height, width) != (padded_height, padded_width):
        axes.fill(
            [0, padded_width, padded_width, 0],
            [0, 0, padded_height, padded_height],
            facecolor=PAPER,
            edgecolor=PALE,
            hatch="////",
            linewidth=0,
        )
    axes.imshow(
        picture(observation.image, grey=grey), extent=(0, width, height, 0), interpolation="antialiased", zorder=1
    )
    axes.set_xlim(0, padded_width)
    axes.set_ylim(padded_height, 0)


def show_picture(axes: "Axes", image: npt.NDArray[np.uint8]) -> None:
    """A picture in its own pixels."""
    height, width = image.shape[:2]
    axes.imshow(picture(image), extent=(0, width, height, 0), interpolation="antialiased")
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)


def picture(image: npt.NDArray[np.uint8], *, grey: bool = False) -> npt.NDArray[np.uint8]:
    """uint8 [H, W, 3] BGR -> RGB; `grey` gives a pale grey one to draw on."""
    if grey:
        light = 110 + 0.57 * cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
        return np.repeat(np.clip(light, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    rgb: npt.NDArray[np.uint8] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return rgb


def outline(
    axes: "Axes",
    mask: npt.NDArray[np.bool_],
    colour: str,
    *,
    scale: tuple[float, float] = (1.0, 1.0),
    width: float = 1.3,
    dashed: bool = False,
    at: tuple[int, int] = (0, 0),
) -> None:
    """The contour of a mask.

    Args:
        mask: bool [H, W].
        scale: (x, y) from pixels of the mask to those of the axes.
        at: (x, y) of the mask's first pixel.
    """
    framed = np.pad(np.ascontiguousarray(mask).view(np.uint8), 1)  # so that a mask at the border closes there
    contours, _ = cv2.findContours(framed, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for contour in contours:
        points = contour[:, 0] - 0.5 + np.asarray(at)
        x, y = (np.append(points[:, i], points[0, i]) * scale[i] for i in (0, 1))
        axes.plot(x, y, color="white", linewidth=width + 1.1, alpha=0.75, zorder=3, solid_joinstyle="round")
        axes.plot(x, y, color=colour, linewidth=width, linestyle="--" if dashed else "-", zorder=4)


def class_colour(class_id: int) -> str:
    """The colour that the program draws a class in, as "#rrggbb"."""
    blue, green, red = (int(v) for v in PALETTE[class_id % len(PALETTE)])
    return f"#{red:02x}{green:02x}{blue:02x}"


def outlined(text: Any, width: float = 2.0) -> Any:
    """Give a text a white edge, to be read on any picture."""
    from matplotlib.patheffects import withStroke

    text.set_path_effects([withStroke(linewidth=width, foreground="white")])
    return text


def frame_to_input(points: npt.NDArray[np.float64], geometry: Geometry) -> npt.NDArray[np.float64]:
    """(x, y) in pixels of the picture -> pixels of the padded input."""
    return points * (geometry.resized[1] / geometry.frame[1], geometry.resized[0] / geometry.frame[0])


def save(figure: "Figure", path: Path, arrays: Mapping[str, Any]) -> list[Path]:
    """Write `<path>.png`, `<path>.svg` and `<path>.npz`.

    Args:
        path: without suffix; its folder is made.
        arrays: what the figure shows, as numbers.

    Raises:
        OutputError: if one cannot be written; each file is whole or absent.
    """
    make_folder(path.parent)
    written = []
    for suffix in (".png", ".svg", ".npz"):
        content = io.BytesIO()
        if suffix == ".npz":
            np.savez_compressed(content, **arrays)
        else:
            figure.savefig(content, format=suffix[1:], dpi=150, bbox_inches="tight", pad_inches=0.08)
        target = path.with_name(path.name + suffix)
        write_bytes(target, content.getvalue())
        written.append(target)
    return written


def legend(figure: "Figure", entries: Iterable[tuple[str, str]], limit: int = 12) -> None:
    """A row of coloured names under the figure; further ones than `limit` are left out."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker="o", linestyle="", color=colour, markeredgecolor="white", label=name)
        for name, colour in list(entries)[:limit]
    ]
    if handles:
        figure.legend(
            handles=handles,
            loc="outside lower left",
            ncols=min(len(handles), 8),
            frameon=False,
            fontsize=8,
            handletextpad=0.2,
        )
