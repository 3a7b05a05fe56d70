"""Putting a container where the picture at a given time can be decoded."""

from collections.abc import Sequence
from typing import TypeAlias

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

Packets: TypeAlias = "list[Packet[Stream]]"

_STEP = 2
"""Seconds of the first step back; each further one doubles the distance, so that few are needed in long films."""

_HEAD_START = 10
"""Seconds before the first picture that surely are before its packets, which are decoded earlier than it is shown."""


def seek_before(container: InputContainer, picture: VideoStream, beside: Sequence[Stream], target: int) -> Packets:
    """Puts the container on a keyframe that is not later than `target`, or at its beginning if there is none.

    Demuxers without an index (MPEG-TS, MPEG-PS) go to any picture, and those with one may go to a keyframe that is
    decoded before `target` and shown after it; what a decoder makes of such a beginning is grey or torn.

    Args:
        picture: the stream that is searched; `target` is in its units.
        beside: further streams that are read.

    Returns:
        What was read ahead, from the keyframe on; the container goes on behind it.

    Raises:
        av.FFmpegError: it cannot be searched; it may have moved.
    """
    zero = picture.start_time or 0
    at, back = target, _units(picture, _STEP)
    while at > zero:
        container.seek(at, stream=picture)
        ahead = _up_to_keyframe(container, picture, beside, target)
        if ahead:
            return ahead
        at, back = target - back, 2 * back
    _rewind(container, picture, zero)
    return []


def _up_to_keyframe(container: InputContainer, picture: VideoStream, beside: Sequence[Stream], target: int) -> Packets:
    """Reads on to the first keyframe: it and what came beside; nothing where it is later than `target`."""
    read: Packets = []
    for packet in container.demux(picture, *beside):
        if packet.stream is not picture:
            read.append(packet)
            continue
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None and stamp > target:
            return []
        if stamp is not None and packet.is_keyframe:
            return [*read, packet]
    return []


def _rewind(container: InputContainer, picture: VideoStream, zero: int) -> None:
    try:
        container.seek(zero - _units(picture, _HEAD_START), stream=picture)
    except av.FFmpegError:  # some demuxers refuse a time before their first
        container.seek(zero, stream=picture)


def _units(picture: VideoStream, seconds: int) -> int:
    assert picture.time_base is not None
    return round(seconds / picture.time_base)
