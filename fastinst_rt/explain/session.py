"""What `fastinst-rt explain` does: pictures in, figures and their numbers out."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastinst_rt.backends.hardware import resolve_device
from fastinst_rt.errors import SourceOpenError, UsageError
from fastinst_rt.explain.attention import attention_figure
from fastinst_rt.explain.drawing import save
from fastinst_rt.explain.failures import failures_figure, find_failures, worst
from fastinst_rt.explain.observation import Observation, observe
from fastinst_rt.explain.predictions import predictions_figure
from fastinst_rt.explain.queries import queries_figure
from fastinst_rt.explain.recall import Recall, measure_recall
from fastinst_rt.explain.truth import Labels, Truth
from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.models.zoo import random_model
from fastinst_rt.pictures import PICTURE_SUFFIXES, find_pictures, make_folder, read_picture, write_bytes
from fastinst_rt.results import Instances
from fastinst_rt.segmenter import RANDOM_WEIGHTS
from fastinst_rt.video.sources import SourceOptions, open_source
from fastinst_rt.weights.locate import load_network

PER_PICTURE = ("queries", "attention")
OF_ALL = ("predictions", "failures", "recall")
_PAGE = 12
"""Pictures on a contact sheet."""

Image = npt.NDArray[np.uint8]
Seen = tuple[str, Image, Instances, Truth | None]


@dataclass(frozen=True)
class Request:
    """What is to be explained; the fields are the options of `fastinst-rt explain`.

    Attributes:
        figures: of `PER_PICTURE` and `OF_ALL`; empty for all that apply.
        counts: numbers of queries that figure `queries` shows.
        queries: indices for figure `attention`; None for the auxiliary queries.
        weights: a checkpoint, "random" for none, or None for the model's own.
    """

    inputs: tuple[str, ...]
    output: Path
    figures: tuple[str, ...] = ()
    gt: Path | None = None
    counts: tuple[int, ...] = (10, 100)
    compare_weights: Path | None = None
    layer: int = -1
    queries: tuple[int, ...] | None = None
    per_head: bool = False
    at: float = 0.0
    limit: int = 4
    model: str = "fastinst-nano"
    weights: Path | None = None
    device: str = "auto"
    score: float = 0.5
    short_side: int | None = None
    max_side: int | None = None


def run_explain(request: Request) -> Iterator[str]:
    """Draw what was asked for.

    Yields:
        Lines for the user: what was written, and what the numbers say.

    Raises:
        SourceOpenError, UsageError, WeightsError, OutputError: as everywhere.
    """
    nets = _networks(request)
    pictures = _pictures(request)
    figures = _figures(request, nets[0][1], len(pictures))
    labels = None
    if request.gt is not None:
        labels = Labels(request.gt, request.gt.parent, nets[0][1].spec.categories)
        pictures = [one for one in pictures if one[1] is not None and one[1] in labels] or pictures
    make_folder(request.output)
    kept: list[Seen] = []

    lines: list[str] = []
    observed = _observe_all(request, figures, nets, pictures, labels, kept, lines)
    if "recall" in figures:
        recall = measure_recall((seen, truth) for seen, truth in observed if truth is not None)
        yield from lines
        yield from _write_recall(recall, request.output)
    else:
        for _ in observed:
            yield from lines
            lines.clear()
    if "predictions" in figures:
        yield from _write_predictions(kept, request.output)
    if "failures" in figures:
        yield from _write_failures(kept, request)


def _observe_all(
    request: Request,
    figures: tuple[str, ...],
    nets: list[tuple[str, FastInst]],
    pictures: list[tuple[str, Path | None, Callable[[], Image]]],
    labels: Labels | None,
    kept: list[Seen],
    lines: list[str],
) -> Iterator[tuple[Observation, Truth | None]]:
    """Look at each picture once: draw what is drawn for each, keep what the sheets need, hand on the trace."""
    for name, path, read in pictures:
        image = read()
        truth = labels.of(path) if labels is not None and path is not None else None

        def look(net: FastInst, attention: bool, image: Image = image) -> Observation:
            return observe(
                net,
                image,
                score=request.score,
                attention=attention,
                short_side=request.short_side,
                max_side=request.max_side,
            )

        seen = look(nets[0][1], "attention" in figures)
        if "queries" in figures:
            others = [(label, look(net, False)) for label, net in nets[1:]]
            drawn = queries_figure([(nets[0][0], seen), *others], request.counts, truth)
            lines += _save(drawn, request.output / f"{name}-queries")
        if "attention" in figures:
            drawn = attention_figure(seen, request.layer, request.queries, request.per_head)
            lines += _save(drawn, request.output / f"{name}-attention")
        if "predictions" in figures or "failures" in figures:
            kept.append((name, image, seen.instances, truth))
        yield seen, truth


def _networks(request: Request) -> list[tuple[str, FastInst]]:
    """(name, network) of the checkpoint, and of the one to compare with."""
    device = resolve_device(request.device)
    found = []
    for weights in (request.weights, *([request.compare_weights] if request.compare_weights else [])):
        if str(weights) == RANDOM_WEIGHTS:
            found.append(("random weights", random_model(request.model).to(device)))
        else:
            net, _, path = load_network(request.model, weights)
            found.append((path.stem, net.to(device)))
    return found


def _figures(request: Request, net: FastInst, pictures: int) -> tuple[str, ...]:
    """What is asked for, or what makes sense for one picture or many, with labels or without."""
    if not request.figures:
        asked = list(OF_ALL if pictures > 1 else (*PER_PICTURE, *OF_ALL))
        if request.gt is None:
            asked.remove("recall")
            asked.remove("failures")
        if not net.spec.activation_guided_queries:
            asked = [name for name in asked if name not in ("queries", "recall")]
        if not net.spec.num_auxiliary_queries and request.queries is None:
            asked = [name for name in asked if name != "attention"]
        return tuple(asked)
    if "recall" in request.figures and request.gt is None:
        raise UsageError("The recall of query places needs labels.", "Give a COCO instances file with --gt.")
    return request.figures


def _pictures(request: Request) -> list[tuple[str, Path | None, Callable[[], Image]]]:
    """(name for files, path or None, how to read it) of every input."""
    found: list[tuple[str, Path | None, Callable[[], Image]]] = []
    for text in request.inputs:
        path = Path(text)
        if path.is_file() and path.suffix.lower() not in PICTURE_SUFFIXES:
            found.append((path.stem, None, lambda path=path: _frame_at(path, request.at)))  # type: ignore[misc]
        else:
            found += [(p.stem, p, lambda p=p: read_picture(p)) for p in find_pictures([text])]  # type: ignore[misc]
    return found


def _frame_at(path: Path, seconds: float) -> Image:
    """The first frame of a video at or after a time.

    Raises:
        SourceOpenError: if it ends before, or is no video.
    """
    with closing(open_source(path, SourceOptions(start=seconds or None))) as source:
        frame = next(source.frames(), None)
    if frame is None:
        raise SourceOpenError(f"{path} has no frame at {seconds:g} s.", "Give an earlier time with --at.")
    return frame.image


def _save(drawn: tuple[Any, dict[str, Any]], path: Path) -> list[str]:
    figure, arrays = drawn
    return [f"wrote {written}" for written in save(figure, path, arrays)]


def _write_predictions(kept: list[Seen], folder: Path) -> Iterator[str]:
    pages = [kept[start : start + _PAGE] for start in range(0, len(kept), _PAGE)]
    for number, page in enumerate(pages, 1):
        if len(kept) == 1:
            name = f"{kept[0][0]}-predictions"
        else:
            name = "predictions" if len(pages) == 1 else f"predictions-{number:02d}"
        yield from _save(predictions_figure(page), folder / name)


def _write_failures(kept: list[Seen], request: Request) -> Iterator[str]:
    found = [
        failure
        for i, (_, _, instances, truth) in enumerate(kept)
        for failure in find_failures(instances, truth, picture=i)
    ]
    name = f"{kept[0][0]}-failures" if len(kept) == 1 else "failures"
    yield from _save(failures_figure(worst(found, request.limit), kept), request.output / name)
    counts = {kind: sum(failure.kind == kind for failure in found) for kind in dict.fromkeys(f.kind for f in found)}
    listed = ", ".join(f"{count} of kind {kind}" for kind, count in counts.items()) or "none"
    yield f"failures in {len(kept)} pictures: {listed}"


def _write_recall(recall: Recall, folder: Path) -> Iterator[str]:
    head = ["queries", "order", "all", "small", "medium", "large", "instances moved"]
    rows = [head, ["---"] * len(head), *recall.table()]
    page = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    text = f"# Recall of query places\n\n{recall.sentence()}\n\n{page}\n"
    write_bytes(folder / "recall.md", text.encode())
    write_bytes(folder / "recall.json", (json.dumps(recall.as_json(), indent=1) + "\n").encode())
    yield f"wrote {folder / 'recall.md'} and recall.json"
    yield page
    yield recall.sentence()
