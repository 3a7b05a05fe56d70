"""Which encoder writes the pictures: chosen by trying, with settings that two cores keep up with."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import cast

import av
from av.codec.codec import Codec
from av.video.codeccontext import VideoCodecContext

from fastinst_rt.errors import OutputError, UsageError
from fastinst_rt.video.sources import SourceInfo


@dataclass(frozen=True)
class _Settings:
    """How an encoder is driven.

    Attributes:
        crf: constant quality when none is asked for; None where the encoder has none.
        crf_option: the encoder's name for it.
        options: the rest.
        odd: whether 4:2:0 pictures of odd sides can be encoded.
    """

    crf: int | None = None
    crf_option: str = "crf"
    options: Mapping[str, str] = field(default_factory=dict)
    odd: bool = False


_NVENC = _Settings(23, "cq", {"preset": "p4", "rc": "vbr", "b": "0"})

_SETTINGS = {
    # 720p at crf 21 on two busy cores, frames a second, kB a frame, luma PSNR, median of three rounds:
    # superfast 50, 15.3, 42.3; veryfast 33, 9.2, 39.6; faster 17, 10.5, 42.4. Only the first two keep up with
    # a camera; at crf 19 veryfast has the quality of faster (11.3 kB, 42.1).
    "libx264": _Settings(20, options={"preset": "veryfast"}),
    "libx265": _Settings(25, options={"preset": "superfast", "x265-params": "log-level=error"}),
    "libsvtav1": _Settings(35, options={"preset": "10"}, odd=True),
    "libvpx-vp9": _Settings(33, options={"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "b": "0"}, odd=True),
    "h264_nvenc": _NVENC,
    "hevc_nvenc": _NVENC,
    "av1_nvenc": _NVENC,
}

_CANDIDATES = {
    "h264": ("h264_nvenc", "libx264"),
    "hevc": ("hevc_nvenc", "libx265"),
    "h265": ("hevc_nvenc", "libx265"),
    "av1": ("av1_nvenc", "libsvtav1"),
    "vp9": ("libvpx-vp9",),
}
"""Encoders of a codec, best first; one is taken if it really opens (a driver may be there without the hardware)."""


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder that was opened once with these settings."""

    name: str
    pixel_format: str
    options: dict[str, str]

    def configure(self, context: VideoCodecContext, info: SourceInfo) -> None:
        """Size, clock and colour of a source onto a context that is not open yet."""
        context.width, context.height = info.width, info.height
        context.pix_fmt = self.pixel_format
        context.time_base = info.time_base
        context.framerate = info.rate or Fraction(25)
        context.sample_aspect_ratio = info.sample_aspect
        context.color_range = info.colour.range
        context.colorspace = info.colour.matrix
        context.color_primaries = info.colour.primaries
        context.color_trc = info.colour.transfer
        context.options = dict(self.options)


def alpha_encoder(suffix: str, info: SourceInfo) -> EncoderChoice:
    """The encoder that keeps an alpha channel in that container: ProRes 4444 in .mov, VP9 in .webm.

    Raises:
        UsageError: another container.
        OutputError: it cannot take the size.
    """
    choices = {
        ".mov": EncoderChoice("prores_ks", "yuva444p10le", {"profile": "4444", "vendor": "apl0"}),
        ".webm": EncoderChoice(
            "libvpx-vp9",
            "yuva420p",
            # libvpx cannot look ahead with alpha
            {**_SETTINGS["libvpx-vp9"].options, "crf": "24", "auto-alt-ref": "0"},
        ),
    }
    choice = choices.get(suffix.lower())
    if choice is None:
        raise UsageError(f"A matte cannot be written to {suffix or 'a name without suffix'}.", "Use .mov or .webm.")
    if not _opens(choice, info):
        raise OutputError(f"{choice.name} cannot take {info.width}x{info.height} pictures.", "Scale the video down.")
    return choice


def choose_encoder(codec: str, crf: int | None, info: SourceInfo) -> EncoderChoice:
    """The first encoder of the codec that opens for this size.

    Args:
        codec: h264, hevc, av1, vp9, or the name of one of FFmpeg's encoders.
        crf: constant quality, lower is better; None takes the encoder's default here.
        info: of the source.

    Raises:
        UsageError: no such codec.
        OutputError: it cannot take the size.
    """
    names = _CANDIDATES.get(codec.lower(), (codec,))
    for name in names:
        if not _is_encoder(name):
            continue
        if name == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # errors only: it writes to stderr past FFmpeg's log
        choice = _choice(name, crf, info)
        if _opens(choice, info):
            return choice
    if not any(map(_is_encoder, names)):
        raise UsageError(
            f"There is no video encoder {codec}.", f"Use {', '.join(_CANDIDATES)} or an FFmpeg encoder's name."
        )
    raise OutputError(
        f"The {codec} encoder cannot take {info.width}x{info.height} pictures at this rate.",
        "Name another with --codec, or scale the video down.",
    )


def _choice(name: str, crf: int | None, info: SourceInfo) -> EncoderChoice:
    settings = _SETTINGS.get(name, _Settings(None))
    options = dict(settings.options)
    quality = settings.crf if crf is None else crf
    if quality is not None:
        options[settings.crf_option] = str(quality)
    return EncoderChoice(name, _pixel_format(name, info, settings.odd), options)


def _pixel_format(name: str, info: SourceInfo, odd: bool) -> str:
    """4:2:0, which every player shows; 4:4:4 where an odd side cannot be halved.

    H.264 and HEVC crop 4:2:0 in steps of two, so an odd side means another size or full chroma: the size is kept,
    since masks, boxes and frames must lie on each other.
    """
    formats = [f.name for f in Codec(name, "w").video_formats or ()]
    wanted = "yuv444p" if (info.width % 2 or info.height % 2) and not odd else "yuv420p"
    return wanted if wanted in formats or not formats else formats[0]


def _is_encoder(name: str) -> bool:
    try:
        return Codec(name, "w").type == "video"
    except av.codec.codec.UnknownCodecError:
        return False


def _opens(choice: EncoderChoice, info: SourceInfo) -> bool:
    context = cast(VideoCodecContext, VideoCodecContext.create(choice.name, "w"))
    choice.configure(context, info)
    try:
        context.open()
    except (av.FFmpegError, ValueError, OverflowError):
        return False
    return True
