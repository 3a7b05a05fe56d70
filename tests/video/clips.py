"""Clips for the tests, made with PyAV: small, with every picture's index readable in its pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation

EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


def picture(index: int, width: int = 64, height: int = 48) -> np.ndarray:
    """uint8 [H, W, 3] BGR: grey that tells the index; the top left quarter red, so that up and left can be told."""
    image = np.full((height, width, 3), 40 + 6 * (index % 30), np.uint8)
    image[: height // 2, : width // 2] = (0, 0, 200)
    return image


def index_of(image: np.ndarray) -> int:
    """The index (mod 30) that `picture` wrote, from the bottom right quarter (its green, which codecs keep best)."""
    height, width = image.shape[:2]
    return round((float(image[height * 3 // 4 :, width * 3 // 4 :, 1].mean()) - 40) / 6)


def make_clip(
    path: Path,
    pts: Sequence[int] = tuple(range(12)),
    time_base: Fraction = Fraction(1, 25),
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    channels: int = 0,
    audio_codec: str = "aac",
    audio_seconds: float | None = None,
    audio_begin: float | None = None,
    rotation: int = 0,
    sample_aspect: Fraction = Fraction(1),
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    colour: tuple[int, int, int, int] = (0, 2, 2, 2),
    container_format: str | None = None,
) -> Path:
    """A video of `picture(i)` at each pts, with sound of so many channels (0: none)."""
    width, height = size
    with av.open(str(path), "w", format=container_format, container_options=container_options or {}) as out:
        video = out.add_stream(codec, rate=1 / time_base, options=options or {})
        video.width, video.height, video.pix_fmt = width, height, pixel_format
        video.codec_context.time_base = time_base
        video.time_base = time_base
        video.codec_context.sample_aspect_ratio = sample_aspect
        context = video.codec_context
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = colour
        if rotation:
            video.set_display_rotation(rotation)
        packets = []
        for index, at in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(picture(index, width, height), "bgr24").reformat(
                format=pixel_format,
                dst_colorspace=colour[1] if colour[1] != 2 else None,
                dst_color_range=colour[0] or 1,
                interpolation=EXACT,
            )
            frame.pts, frame.time_base = at, time_base
            packets += video.encode(frame)
        packets += video.encode(None)
        lasts = {at: later - at for at, later in pairwise(pts)}
        for packet in packets:
            packet.duration = lasts.get(packet.pts, max(1, round((pts[-1] - pts[0]) / max(1, len(pts) - 1))))
        if channels:
            begin = float(pts[0] * time_base) if audio_begin is None else audio_begin
            seconds = audio_seconds or float((pts[-1] - pts[0]) * time_base) + 0.04
            packets += _sound(out, audio_codec, channels, begin, seconds)
        out.start_encoding()
        for packet in packets:
            out.mux(packet)
    return path


def _sound(
    out: av.container.OutputContainer, codec: str, channels: int, begin: float, seconds: float
) -> list[av.Packet]:
    rate = 48000
    audio = out.add_stream(codec, rate=rate, layout=LAYOUTS[channels])
    context = audio.codec_context
    count = max(1, round(seconds * rate / 1024))
    packets = []
    for block in range(count):
        phase = np.arange(block * 1024, (block + 1) * 1024) / rate
        tone = np.sin(2 * np.pi * 440 * phase).astype(np.float32) * 0.3
        frame = av.AudioFrame.from_ndarray(np.tile(tone, (channels, 1)), "fltp", LAYOUTS[channels])
        frame.rate, frame.pts, frame.time_base = rate, round(begin * rate) + block * 1024, Fraction(1, rate)
        resampler = av.AudioResampler(context.format.name, LAYOUTS[channels], rate)
        for ready in resampler.resample(frame):
            packets += audio.encode(ready)
    packets += audio.encode(None)
    return packets


def add_subtitles(clip: Path, path: Path) -> Path:
    """The clip with a SubRip stream of two lines (PyAV encodes no text, so the file is put together by hand)."""
    text = path.with_suffix(".srt")
    text.write_text("1\n00:00:00,040 --> 00:00:00,200\none\n\n2\n00:00:00,240 --> 00:00:00,400\nzwölf\n\n", "utf-8")
    with av.open(str(clip)) as pictures, av.open(str(text)) as lines, av.open(str(path), "w") as out:
        sources = [*pictures.streams, *lines.streams]
        copies = {id(s): out.add_stream_from_template(s, opaque=True) for s in sources}
        packets = [p for c in (pictures, lines) for p in c.demux() if p.dts is not None]
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            packet.stream = copies[id(packet.stream)]
            out.mux(packet)
    text.unlink()
    return path


@dataclass(frozen=True)
class Content:
    """What a file holds, for comparing an output with its input.

    Attributes:
        times: of the pictures, exact seconds, in order of presentation.
        images: BGR, upright (rotation applied).
        packets: by type of stream, the packets' bytes in order.
        packet_times: by type of stream, the packets' pts in seconds.
        duration: seconds from the first picture's time to the end of the last one.
    """

    times: list[Fraction]
    images: list[np.ndarray]
    packets: dict[str, list[list[bytes]]]
    packet_times: dict[str, list[list[Fraction]]]
    duration: Fraction


def content(path: Path) -> Content:
    """Reads a file with PyAV alone, none of the code under test."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        times, images = [], []
        for frame in container.decode(video):
            times.append(frame.pts * frame.time_base)
            exact = frame.reformat(format="bgr24", interpolation=EXACT).to_ndarray()
            images.append(np.rot90(exact, frame.rotation // 90))
        duration = (video.duration or 0) * video.time_base
    packets: dict[str, list[list[bytes]]] = {"audio": [], "subtitle": []}
    stamps: dict[str, list[list[Fraction]]] = {"audio": [], "subtitle": []}
    with av.open(str(path)) as container:
        wanted = [s for s in container.streams if s.type in packets]
        by_stream: dict[int, list[bytes]] = {s.index: [] for s in wanted}
        at_stream: dict[int, list[Fraction]] = {s.index: [] for s in wanted}
        for packet in container.demux(wanted) if wanted else ():
            if packet.size:
                by_stream[packet.stream_index].append(bytes(packet))
                at_stream[packet.stream_index].append((packet.pts or 0) * packet.time_base)
        for stream in wanted:
            packets[stream.type].append(by_stream[stream.index])
            stamps[stream.type].append(at_stream[stream.index])
    return Content(times, images, packets, stamps, duration)
