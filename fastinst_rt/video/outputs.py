"""Which input of the `video` command goes to which outputs."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fastinst_rt.errors import UsageError
from fastinst_rt.pictures import make_folder
from fastinst_rt.video import jsonl_sink, muxing
from fastinst_rt.video.inputs import VIDEO_SUFFIXES
from fastinst_rt.video.urls import bare, is_url


@dataclass(frozen=True, slots=True)
class Outputs:
    """What is written for one input; None is not written."""

    video: Path | None = None
    json: Path | None = None
    masks: Path | None = None
    matte: Path | None = None

    @property
    def files(self) -> list[Path]:
        """Those that are files, not folders."""
        return [path for path in (self.video, self.json, self.matte) if path is not None]

    def are_complete(self) -> bool:
        """Whether an earlier run wrote all of them to their end. A folder of masks alone cannot tell."""
        if not self.files or not all(path.exists() for path in self.files):
            return False
        videos = [path for path in (self.video, self.matte) if path is not None]
        return not any(map(muxing.is_incomplete, videos)) and not (self.json and jsonl_sink.is_incomplete(self.json))


@dataclass(frozen=True, slots=True)
class Job:
    """One input and its outputs."""

    source: str
    outputs: Outputs


def plan_jobs(
    sources: Iterable[str],
    video: Path | None,
    json: Path | None = None,
    masks: Path | None = None,
    matte: Path | None = None,
) -> list[Job]:
    """Names the outputs of every input.

    For one input each option may name a file; for several, and wherever it names a folder, it is a folder in which the
    outputs are named after their inputs. Folders are made.

    Raises:
        UsageError: one file for several inputs, or two inputs that would write the same file.
        OutputError: a folder cannot be made.
    """
    names = list(sources)
    if masks is not None and len(names) > 1:
        make_folder(masks)
    jobs = [
        Job(
            source,
            Outputs(
                video=_target(video, _stem(source), ".mp4", VIDEO_SUFFIXES, len(names)),
                json=_target(json, _stem(source), ".jsonl", {".jsonl", ".json", ".ndjson"}, len(names)),
                masks=masks if masks is None or len(names) == 1 else masks / _stem(source),
                matte=_target(matte, f"{_stem(source)}-matte", ".mov", VIDEO_SUFFIXES, len(names)),
            ),
        )
        for source in names
    ]
    counts = Counter(path for job in jobs for path in (*job.outputs.files, job.outputs.masks) if path is not None)
    twice = [str(path) for path, number in counts.items() if number > 1]
    if twice:
        raise UsageError(f"Two inputs would both be written to {twice[0]}.", "Run them apart, into separate folders.")
    return jobs


def _target(option: Path | None, stem: str, suffix: str, suffixes: Iterable[str], inputs: int) -> Path | None:
    """The file that an option means for one of the inputs."""
    if option is None:
        return None
    names_file = option.suffix.lower() in set(suffixes) and not option.is_dir()
    if names_file and inputs > 1:
        raise UsageError(f"{option} is one file, but there are {inputs} inputs.", "Name a folder.")
    if names_file or (option.suffix and not option.is_dir()):  # an unknown suffix is refused by the sink, by name
        return option
    make_folder(option)
    return option / f"{stem}{suffix}"


def _stem(source: str) -> str:
    """A file name for what comes from a source: of a path its stem, of anything else what a file system takes.

    File names are seen by others, so a URL leaves its credentials and its query behind.
    """
    if not is_url(source) and Path(source).exists():
        return Path(source).stem
    return re.sub(r"[^\w.-]+", "-", bare(source)).strip("-.") or "stdin"
