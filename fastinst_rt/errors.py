"""The errors a user can meet: each says what is wrong, what to do, and which exit code the command line gives it.

A message is one sentence of what is wrong (`problem`) and one of what to do (`remedy`). Anything that is not a
`FastInstError` is a bug of ours and shows a traceback.
"""

from typing import ClassVar


class FastInstError(Exception):
    """Base of all expected errors.

    Args:
        problem: one sentence, what is wrong, naming the file, option or value.
        remedy: one sentence, what the user can do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)  # both in args, so that the error survives pickling between processes
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy}"


class UsageError(FastInstError):
    """An option or argument that cannot be meant (exit code 2)."""

    exit_code = 2


class SourceOpenError(FastInstError):
    """A source that cannot be opened or holds no picture (exit code 3)."""

    exit_code = 3


class SourceLostError(FastInstError):
    """A source that broke off after it had delivered frames; what came before is kept (exit code 4)."""

    exit_code = 4


class EngineError(FastInstError):
    """An engine that cannot be built or run (exit code 5)."""

    exit_code = 5


class EngineRefusedError(EngineError):
    """A stored engine that does not fit what is asked of it, or is damaged (exit code 5)."""


class ParityError(EngineError):
    """An engine whose instances differ from those of the FP32 eager network (exit code 5)."""


class OutputError(FastInstError):
    """An output that cannot be written (exit code 6)."""

    exit_code = 6


class WeightsError(FastInstError):
    """Weights that are missing, damaged or of another model (exit code 7)."""

    exit_code = 7
