"""Pictures instead of video: each is segmented, drawn and written by itself; a bad one does not stop the others."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fastinst_rt.errors import SourceOpenError
from fastinst_rt.pictures import read_picture, write_bytes, write_picture
from fastinst_rt.render import Overlay
from fastinst_rt.results import Instances
from fastinst_rt.segmenter import Segmenter


@dataclass
class StillsReport:
    """What became of the pictures.

    Attributes:
        written: annotated pictures, in order.
        instances: how many instances were found in all.
        failures: the error of each picture that could not be read.
    """

    written: list[Path] = field(default_factory=list)
    instances: int = 0
    failures: dict[Path, SourceOpenError] = field(default_factory=dict)


def annotate_pictures(
    pictures: Iterable[tuple[Path, Path]],
    segmenter: Segmenter,
    overlay: Overlay,
    *,
    json_lines: Path | None = None,
    mask_dir: Path | None = None,
) -> StillsReport:
    """Segment pictures and write each with its masks drawn.

    Args:
        pictures: each picture, and where its annotated copy goes.
        json_lines: one JSON object a line and picture: `picture`, `width`, `height`, `instances` (COCO records).
        mask_dir: one PNG a picture, named after it (`dog.jpg` -> `dog.jpg.png`): 0 is background, i + 1 the i-th
            instance (uint8; uint16 from 256 instances on).

    Raises:
        OutputError: if something cannot be written. Pictures that cannot be read are in the report.
    """
    report = StillsReport()
    lines: list[str] = []
    for source, target in pictures:
        try:
            image = read_picture(source)
        except SourceOpenError as error:
            report.failures[source] = error
            continue
        found = segmenter(image)
        write_picture(target, overlay.draw(image, found, in_place=True))
        if mask_dir is not None:
            labels = found.label_map()
            write_picture(mask_dir / f"{source.name}.png", labels if len(found) > 255 else labels.astype(np.uint8))
        lines.append(json.dumps(_record(source, found), ensure_ascii=False))
        report.written.append(target)
        report.instances += len(found)
    if json_lines is not None:
        write_bytes(json_lines, "".join(f"{line}\n" for line in lines).encode())
    return report


def _record(source: Path, found: Instances) -> dict[str, Any]:
    height, width = found.size
    return {"picture": str(source), "width": width, "height": height, "instances": found.to_coco()}
