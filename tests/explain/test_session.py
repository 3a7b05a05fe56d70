"""The command: every figure and its numbers are written; odd pictures are handled; mistakes are told."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from fastinst_rt.cli import app
from fastinst_rt.explain.observation import observe
from fastinst_rt.explain.queries import queries_figure
from fastinst_rt.explain.recall import measure_recall
from fastinst_rt.explain.truth import Labels
from fastinst_rt.models.fastinst import FastInst

RUN = ["--weights", "random", "--short-side", "64", "--max-side", "96"]


def explain(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["explain", *map(str, arguments), *RUN])
    return result.exit_code, result.output


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_everything_that_applies_to_a_labelled_folder(labelled: tuple[Path, Path], tmp_path: Path) -> None:
    folder, gt = labelled
    out = tmp_path / "out"
    code, text = explain(folder, "--gt", gt, "-o", out, "--score", 0)
    assert code == 0, text
    expected = {f"{name}.{kind}" for name in ("predictions", "failures") for kind in ("png", "svg", "npz")}
    assert files(out) == {*expected, "recall.md", "recall.json"}
    assert "With 10 queries, local maxima first" in text
    assert cv2.imread(str(out / "failures.png")).shape[0] > 100
    with np.load(out / "failures.npz") as arrays:
        assert set(arrays) == {"kind", "severity", "picture", "text"}


def test_one_picture_gets_its_own_figures(labelled: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, text = explain(labelled[0] / "a.png", "-o", out, "--num-queries", "5", "--compare-weights", "random")
    assert code == 0, text
    names = ("a-queries", "a-attention", "a-predictions")
    assert files(out) == {f"{name}.{kind}" for name in names for kind in ("png", "svg", "npz")}
    with np.load(out / "a-queries.npz") as arrays:
        assert arrays["n5_0_cells"].shape == (5, 2)
        assert "n5_2_cells" in arrays  # the second checkpoint
    assert "<svg" in (out / "a-queries.svg").read_text()


def test_a_single_pixel_is_a_picture(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "dot.png"), np.full((1, 1, 3), 200, np.uint8))
    code, text = explain(tmp_path / "dot.png", "-o", tmp_path / "out")
    assert code == 0, text
    assert "dot-attention.png" in files(tmp_path / "out")


def test_a_frame_of_a_video(tmp_path: Path) -> None:
    from fastinst_rt.bench.suites.media import pictures, write_clip

    clip = write_clip(tmp_path / "clip.mp4", pictures(None, (72, 128), 10))
    code, text = explain(clip, "-f", "predictions", "--at", "0.2", "-o", tmp_path / "out")
    assert code == 0, text
    assert files(tmp_path / "out") == {f"clip-predictions.{kind}" for kind in ("png", "svg", "npz")}
    assert explain(clip, "--at", "99", "-o", tmp_path / "out")[0] == 2  # the video ends before


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("-f", "recall"), 2),
        (("--num-queries", "ten"), 2),
        (("-f", "attention", "--layer", "9"), 2),
        (("-f", "attention", "--queries", "999"), 2),
    ],
)
def test_mistakes_are_told(labelled: tuple[Path, Path], tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    assert explain(labelled[0] / "a.png", "-o", tmp_path / "out", *arguments)[0] == code


def test_a_picture_without_labels_is_told(labelled: tuple[Path, Path], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "other.png"), np.zeros((50, 50, 3), np.uint8))
    code, _ = explain(tmp_path / "other.png", "--gt", labelled[1], "-o", tmp_path / "out")
    assert code == 2


def test_recall_counts_what_places_cover(net: FastInst, labelled: tuple[Path, Path]) -> None:
    folder, gt = labelled
    labels = Labels(gt, folder, net.spec.categories)
    seen = []
    for name in ("a.png", "b.png"):
        image = cv2.imread(str(folder / name))
        seen.append((observe(net, image, short_side=96, max_side=160), labels.of(folder / name)))
    recall = measure_recall(seen, (1, 10**6))
    assert recall.pictures == 2
    assert len(recall.areas) == 2
    assert recall.share(True, 10**6) == recall.share(False, 10**6) == 1.0
    assert recall.share(True, 1) <= 0.5
    assert np.isnan(recall.share(True, 1, "small"))
    gained, lost = recall.moved(1)
    assert gained - lost == 2 * (recall.share(True, 1) - recall.share(False, 1))
    assert "2 instances" in recall.sentence()
    assert measure_recall([]).as_json()["instances"] == 0


def test_the_queries_figure_tells_what_is_covered(net: FastInst, labelled: tuple[Path, Path]) -> None:
    folder, gt = labelled
    image = cv2.imread(str(folder / "a.png"))
    truth = Labels(gt, folder, net.spec.categories).of(folder / "a.png")
    figure, arrays = queries_figure([("x", observe(net, image))], [3, 50], truth)
    assert len([axes for axes in figure.axes if axes.images]) == 4
    assert arrays["n50_0_covered"].shape == (2,)
    assert arrays["n3_1_scores"].shape == (3,)
