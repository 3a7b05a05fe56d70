"""Small matrix products on one thread."""

from threading import Lock
from types import TracebackType

from threadpoolctl import ThreadpoolController


class SingleThreadedBlas:
    """While any thread is within, products of matrices keep to the thread that asks for them; from any thread.

    Enlarging is many small matrix products. Left alone, OpenBLAS shares each among all cores: 37 us a block on an idle
    machine, but up to 15 ms where decoder and encoder threads keep the cores busy. With one thread it is 37 us always;
    the limit costs 12 us a picture. It holds for the whole process, so it is lifted when the last one leaves.
    """

    def __init__(self) -> None:
        self._blas = ThreadpoolController().select(user_api="blas")
        self._lock = Lock()
        self._within = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._within == 0:
                self._limit = self._blas.limit(limits=1)
            self._within += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._within -= 1
            if self._within == 0:
                self._limit.restore_original_limits()
