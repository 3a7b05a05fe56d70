"""Network streams and stdin: time-outs and a watchdog around the reader, and re-opening in live use."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import av

from fastinst_rt.errors import SourceLostError, SourceOpenError
from fastinst_rt.results import Frame
from fastinst_rt.video.clock import Backoff, Pacer
from fastinst_rt.video.passengers import Passengers
from fastinst_rt.video.pump import Pump, within
from fastinst_rt.video.reader import Reader
from fastinst_rt.video.sources import SourceInfo, SourceOptions
from fastinst_rt.video.urls import redact, redact_within

_MARGIN = 2.0
"""Seconds the watchdog leaves to FFmpeg's own time-out, which says more; name look-ups, for one, have none."""

_UNTIMED = ("mpjpeg", "mjpeg")
"""Formats without timestamps (network cameras): live, their frames are stamped as they arrive."""

_ARRIVAL_BASE = Fraction(1, 90000)


class StreamSource:
    """Frames of a URL or of stdin (`-`).

    With `options.live` a stream that is lost, or ends although it has no known length, is opened again with
    growing pauses until it is there or `stop` is called; its frames go on later on the same clock, so that the gap
    is a gap. Without it the loss is an error.

    Raises:
        SourceOpenError: no answer in time, or nothing that can be decoded.
    """

    def __init__(self, spec: str, options: SourceOptions) -> None:
        self._spec = spec
        self._options = options
        self._piped = spec == "-"
        self._name = "stdin" if self._piped else redact(spec)
        self._stopped = threading.Event()
        self._past_notes: list[str] = []
        self.outages = 0
        self._reader = self._open(None)
        self._pump = self._pump_of(self._reader)
        self.passengers: Passengers | None = self._reader.passengers
        self.info: SourceInfo = self._reader.info
        self._stamped = options.live and self._reader.format in _UNTIMED
        if self._stamped:
            self.info = replace(self.info, time_base=_ARRIVAL_BASE)
        # Recordings and HLS (whose segments come in bursts) are played at their speed; all else has a pace of its own.
        paced = options.live and (self.info.duration is not None or self._reader.format == "hls")
        self._pacer = Pacer(self._stopped) if paced else None

    @property
    def notes(self) -> list[str]:
        """What was repaired, lost or left out so far."""
        return [*self._past_notes, *self._reader.notes]

    def frames(self) -> Iterator[Frame]:
        """See `Source.frames`.

        Raises:
            SourceLostError: the stream broke off or fell silent, and is not to be re-opened.
        """
        index, last, resume_at = 0, -1, None
        while True:
            loss = "it ended"
            try:
                for frame in self._stamps(self._pump, resume_at):
                    if self._pacer is not None and not self._pacer.wait(frame.seconds):
                        return
                    last = frame.pts
                    yield replace(frame, index=index)
                    index += self._options.every
                if not self._is_endless:
                    return
            except SourceLostError as error:
                if self._piped or not self._options.live:
                    raise
                loss = error.problem
                _forget_frames(error)
            lost_at = time.monotonic()
            if self._stopped.is_set() or not self._reopen():
                return
            gone = time.monotonic() - lost_at
            self._past_notes.append(f"{self._name} was opened again after {gone:.1f} seconds ({loss.rstrip('.')}).")
            resume_at = last + max(1, round(Fraction(gone) / self.info.time_base))

    def stop(self) -> None:
        """See `Source.stop`; a read that is stuck is left to its thread, which ends with its time-out."""
        self._stopped.set()
        self._reader.stop()
        self._pump.stop()

    def close(self) -> None:
        """Ends the reading thread; one that is stuck in a read closes its container itself, later."""
        self.stop()
        self._pump.join(_MARGIN)

    @property
    def _is_endless(self) -> bool:
        """Whether an end is a loss: live, and not a recording of known length."""
        return self._options.live and not self._piped and self.info.duration is None

    def _stamps(self, frames: Iterator[Frame] | Pump[Frame], resume_at: int | None) -> Iterator[Frame]:
        """Frames on the clock of the first connection; a later one goes on at `resume_at`."""
        base = self.info.time_base
        shift: int | None = 0 if resume_at is None else None
        zero = None
        for frame in frames:
            if self._stamped:
                zero = frame.captured_at if zero is None else zero
                pts = round((frame.captured_at - zero) / base)
            else:
                pts = round(frame.seconds / base)
            if shift is None:
                assert resume_at is not None
                shift = resume_at - pts
            yield replace(frame, pts=pts + shift, time_base=base)

    def _reopen(self) -> bool:
        """Opens the stream anew, as long as it takes; False when stopped meanwhile. Its sound is not joined on."""
        self.outages += 1
        if self.outages == 1 and self.info.has_audio:
            self._past_notes.append("The sound ends where the stream was lost.")
        if self.passengers is not None:
            self.passengers.close()
        self._pump.stop()
        backoff = Backoff(self._stopped)
        while backoff.wait():
            try:
                reader = self._open((self.info.width, self.info.height))
            except SourceOpenError:
                continue
            self._past_notes += self._reader.notes
            self._reader, self._pump = reader, self._pump_of(reader)
            if self._stopped.is_set():  # `stop` may have met the reader before
                self.stop()
            return True
        return False

    def _pump_of(self, reader: Reader) -> Pump[Frame]:
        # Whoever feeds stdin may take his time.
        silence = None if self._piped else self._options.read_timeout + _MARGIN
        return Pump(reader.frames, reader.close, self._name, silence)

    def _open(self, size: tuple[int, int] | None) -> Reader:
        limit = None if self._piped else self._options.open_timeout + _MARGIN
        return within(limit, lambda: self._connect(size), Reader.close, self._name, self._stopped)

    def _connect(self, size: tuple[int, int] | None) -> Reader:
        options, file = self._options, "pipe:0" if self._piped else self._spec
        settings = {} if self._piped else {"rtsp_transport": "tcp"}  # lossless, and it passes firewalls
        timeouts = None if self._piped else (options.open_timeout, options.read_timeout)
        try:
            container = av.open(file, options=settings, timeout=timeouts, metadata_errors="replace")
        except (av.FFmpegError, OSError) as error:
            raise self._refusal(error) from error
        try:
            return Reader(container, self._name, "stdin" if self._piped else "url", options, size=size)
        except BaseException:
            container.close()
            raise

    def _refusal(self, error: Exception) -> SourceOpenError:
        if isinstance(error, av.error.ExitError):
            reason = f"no answer within {self._options.open_timeout:g} seconds"
        elif isinstance(error, av.error.InvalidDataError):
            reason = "what it sends is no video that can be read as a stream"
        else:
            reason = redact_within(getattr(error, "strerror", None) or str(error), self._spec)
        remedy = (
            "Pipe a format that needs no seeking, e.g. MPEG-TS or Matroska."
            if self._piped
            else "Check the address, the credentials and the network."
        )
        return SourceOpenError(f"{self._name} cannot be opened: {reason}.", remedy)


def _forget_frames(error: BaseException) -> None:
    """Cuts a loss that was dealt with off from the reader it came from, which else is a reference cycle.

    Waiting for the collector, each lost reader held about 7 MB at 640x480.
    """
    cause: BaseException | None = error
    while cause is not None:
        cause.__traceback__ = None
        cause = cause.__cause__
