"""The suites: what is measured, and how it is laid beside the paper. `run_suite` finds one by its name."""

from importlib import import_module
from typing import TYPE_CHECKING

from fastinst_rt.errors import UsageError

if TYPE_CHECKING:
    from fastinst_rt.bench.report import Report
    from fastinst_rt.bench.suites.common import Settings

SUITES = ("paper", "ablation", "backends", "stages", "e2e", "baseline")


def run_suite(name: str, settings: "Settings") -> "Report":
    """Measure a suite.

    Args:
        name: one of `SUITES`.
        settings: what the user asked for.

    Raises:
        UsageError: for a name that is no suite.
    """
    if name not in SUITES:
        raise UsageError(f"There is no suite {name!r}.", f"Choose one of: {', '.join(SUITES)}.")
    report: Report = import_module(f"fastinst_rt.bench.suites.{name}").run(settings)
    return report
