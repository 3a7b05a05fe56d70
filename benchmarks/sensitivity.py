"""Whether `bench compare` can be believed here: equal runs must not differ, an engine slowed by a tenth must be found.

Runs suite `backends` in processes of their own, in turns: as it is, then with one row's engine made slower by a sleep
after each call. Then every two runs are compared, and the runs of each kind as one.

python benchmarks/sensitivity.py --output runs/ [--runs 2] [--slower 0.1] [--row "openvino fp32"] [--quick]
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

from fastinst_rt.backends.base import Engine
from fastinst_rt.bench.compare import Comparison, compare
from fastinst_rt.bench.pool import read_runs
from fastinst_rt.bench.protocol import FULL, QUICK
from fastinst_rt.bench.report import write_json
from fastinst_rt.bench.suites import backends, run_suite
from fastinst_rt.bench.suites.common import Settings

KINDS = ("equal", "slowed")


class Slowed:
    """An engine that sleeps after each call for a share of what the call took."""

    def __init__(self, engine: Engine, share: float) -> None:
        self.info, self.close = engine.info, engine.close
        self._engine, self._share = engine, share

    def __call__(self, images: Any) -> Any:
        """As the engine does, later."""
        begin = time.perf_counter()
        found = self._engine(images)
        time.sleep(self._share * (time.perf_counter() - begin))
        return found


def main() -> None:
    """Take the runs, then print who was told from whom; fails on a false difference or one that was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--runs", type=int, default=2, help="of each kind")
    parser.add_argument("--slower", type=float, default=0.1, help="share of a call")
    parser.add_argument("--row", default="openvino fp32")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)  # a child: take this one run
    arguments = parser.parse_args()
    if arguments.one:
        take(arguments.one, arguments.row, arguments.slower, quick=arguments.quick)
        return
    files = {kind: [arguments.output / kind / f"{n}.json" for n in range(arguments.runs)] for kind in KINDS}
    for pair in zip(*files.values(), strict=True):
        for file in pair:
            file.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--one", str(file)], check=True)
    if not judge(files, arguments.row):
        sys.exit(1)


def take(file: Path, row: str, slower: float, *, quick: bool) -> None:
    """One run, slowed where its folder says so."""
    if file.parent.name == "slowed":
        backends.engine_for = _slowing(backends.engine_for, row, slower)
    settings = Settings(protocol=QUICK if quick else FULL, say=lambda line: print(line, file=sys.stderr))
    write_json(run_suite("backends", settings), file)


def _slowing(make: Callable[..., Engine], row: str, slower: float) -> Callable[..., Engine]:
    def slowed(*arguments: Any) -> Engine:
        engine = make(*arguments)
        return Slowed(engine, slower) if f"{engine.info.backend} {engine.info.precision}" == row else engine

    return slowed


def judge(files: dict[str, list[Path]], row: str) -> bool:
    """Print every comparison; whether the folders' comparison named the slowed row, and nothing else was named."""
    right = True
    for kind in KINDS:
        for a, b in combinations(files[kind], 2):
            right &= show(f"{kind}: {a.stem} and {b.stem}", compare(read_runs(a), read_runs(b))) == set()
    for a in files["equal"]:
        for b in files["slowed"]:
            right &= show(f"equal {a.stem}, slowed {b.stem}", compare(read_runs(a), read_runs(b))) <= {row}
    folders = [read_runs(files[kind][0].parent) for kind in KINDS]
    return right & (show("all equal, all slowed", compare(*folders)) == {row})


def show(title: str, found: Comparison) -> set[str]:
    """Print one comparison; the labels of the rows in which a difference is named."""
    print(title)
    for one in found.rows:
        if (seen := one.deciding) is not None:
            print(f"  {one.label:16s} {seen.value:+7.1%} ({seen.low:+.1%} to {seen.high:+.1%}): {one.verdict}")
    return {one.label for one in found.rows if one.verdict in ("slower", "faster")}


if __name__ == "__main__":
    main()
