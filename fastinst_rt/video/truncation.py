"""Telling a complete container from one that was cut: demuxers report both as an ordinary end."""

from fractions import Fraction

import av
from av.container import InputContainer

_STATE_DURATION = ("matroska", "webm", "avi", "flv", "asf")
"""Formats whose header states a duration that was written at the end of recording (others estimate it)."""

_TAIL = 32
"""Index entries looked at from the end; packets of one stream lie in file order, but B-frames jump a little."""


def missing_part(container: InputContainer, last_end: Fraction) -> str | None:
    """What is missing, for a container that was read to its end; None where nothing is.

    Args:
        container: just read to the end, or to a damaged packet.
        last_end: seconds, where the last packet of any stream ended.
    """
    names = container.format.name.split(",")
    if "mp4" in names or "mov" in names:
        size = container.size
        for other in container.streams:
            entries = other.index_entries
            tail = [entries[i] for i in range(max(0, len(entries) - _TAIL), len(entries))]
            if size > 0 and any(entry.pos + entry.size > size for entry in tail):
                return "the file is shorter than its index says"
    if container.duration and any(name in _STATE_DURATION for name in names):
        stated = Fraction(container.duration, av.time_base)
        missing = stated - (last_end - _zero_of_duration(container, names))
        # In Matroska the last block's duration may be rounded or left out: half a second is no cut.
        if missing > Fraction(1, 2):
            return f"it ends {float(missing):.1f} seconds before the time in its header"
    return None


def _zero_of_duration(container: InputContainer, names: list[str]) -> Fraction:
    """Seconds from which the stated duration counts: the first packet, but in Matroska the zero of its clock."""
    if "matroska" in names:
        return Fraction(0)
    return Fraction(container.start_time or 0, av.time_base)
