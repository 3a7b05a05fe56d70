"""What a GPU check is made of: the plan, and a run in progress that records every part's findings or its error."""

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastinst_rt.backends.base import Engine
from fastinst_rt.backends.opening import network_sha256, open_engine
from fastinst_rt.bench.measure import Measurement
from fastinst_rt.bench.protocol import Protocol
from fastinst_rt.bench.statistics import summarise
from fastinst_rt.errors import WeightsError
from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.models.zoo import random_model
from fastinst_rt.preprocess import padded_size
from fastinst_rt.results import Size
from fastinst_rt.weights.locate import load_network

_PROTOCOL = Protocol(
    samples=200, seconds=3.0, least_seconds=0.5, most_samples=1000, warm_up=0.5, warm_up_limit=2.0, settled=0.03
)
"""Two seconds a variant, so that some thirty variants fit beside the builds."""

_RESERVE = 100.0
"""Seconds kept for everything that is measured after the builds."""


@dataclass(frozen=True)
class Case:
    """A network at one size of picture; `goal` is the pictures a second that were aimed at on an H100."""

    model: str
    resized: Size
    goal: float | None = None

    @property
    def name(self) -> str:
        """Model and the size the network sees."""
        height, width = padded_size(self.resized)
        return f"{self.model} {height}x{width}"


@dataclass(frozen=True)
class Plan:
    """What is checked.

    Attributes:
        device: "cuda:0"; "cpu" in tests.
        cases: the most important first.
        contenders: (backend, precision) in the order of the table; the first is the reference of speed.
        minutes: no build begins unless it is expected to end within these.
        frame: (height, width) of the frames whose masks are made.
        protocol: how long each variant is measured.
    """

    device: str = "cuda:0"
    cases: tuple[Case, ...] = (
        Case("fastinst-d1-r50", (576, 768), 538.0),  # 10 x the paper's V100
        Case("fastinst-d3-r50", (640, 853), 355.0),
        Case("fastinst-d1-r50", (437, 777)),  # a 16:9 frame
        Case("fastinst-d3-r50", (480, 853)),
    )
    contenders: tuple[tuple[str, str], ...] = (
        ("eager", "fp32"),
        ("eager", "fp16"),
        ("tensorrt", "fp16"),
        ("inductor", "fp16"),
    )
    minutes: float = 8.0
    frame: Size = (1080, 1920)
    protocol: Protocol = _PROTOCOL


@dataclass
class Check:
    """A run in progress: its clock, its engines' folder, and what it has found so far.

    Attributes:
        build_seconds: what a build of a backend is expected to take; the last one, once there was one.
        parts: findings by name of the part.
        networks: by name, with the origin of their weights.
        built: (case, engine) of the engines that are stored.
        keep: called after each part, so that a crash of the driver does not take the findings before it.
    """

    plan: Plan
    folder: Path
    say: Callable[[str], None] = print
    begin: float = field(default_factory=time.monotonic)
    build_seconds: dict[str, float] = field(default_factory=lambda: {"tensorrt": 60.0, "inductor": 100.0})
    parts: dict[str, Any] = field(default_factory=dict)
    networks: dict[str, tuple[FastInst, str]] = field(default_factory=dict)
    built: set[tuple[Case, str]] = field(default_factory=set)
    keep: Callable[[], None] = lambda: None

    @contextmanager
    def part(self, name: str, into: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """Whatever happens inside is this part's result: its findings, or its error."""
        self.say(f"[{time.monotonic() - self.begin:5.0f} s] {name}")
        found: dict[str, Any] = {}
        target = self.parts if into is None else into
        target[name] = found
        start = time.monotonic()
        try:
            yield found
        except Exception as error:
            found["failed"] = f"{type(error).__name__}: {str(error)[:500]}"
            found["traceback"] = traceback.format_exc(limit=-4)
            self.say(f"         failed: {found['failed']}")
        found["seconds"] = round(time.monotonic() - start, 2)
        if into is None:
            self.keep()

    def time_for(self, backend: str) -> bool:
        """Whether a build of this backend is expected to end in time."""
        expected = self.build_seconds.get(backend, 0.0)
        return time.monotonic() - self.begin + expected + _RESERVE < 60 * self.plan.minutes

    def network(self, model: str) -> tuple[FastInst, str]:
        """The network, and where its weights are from: its own where they are on this machine, else random ones."""
        if model not in self.networks:
            try:
                net, _, path = load_network(model)
                self.networks[model] = net, path.name
            except WeightsError:
                self.networks[model] = random_model(model), "random"
        return self.networks[model]

    def open(self, case: Case, engine: str, batch: int = 1) -> Engine:
        """`engine` ("tensorrt fp16") as the product opens it; one under the parity gate is measured all the same."""
        backend, precision = engine.split()
        net, _ = self.network(case.model)
        return open_engine(
            net,
            model=case.model,
            resized=case.resized,
            weights_sha256=network_sha256(net),
            batch=batch,
            backend=backend,
            precision=precision,
            device=self.plan.device,
            engine_dir=self.folder,
            allow_unverified=True,
            on_progress=lambda step, _: self.say(f"         {step}"),
        )


def summary(measurement: Measurement) -> dict[str, Any]:
    """Milliseconds: median with its 95 % interval (`low`, `high`) and 95th percentile; calls a second."""
    order = summarise(measurement.samples, measurement.blocks)
    seconds = {"p50": order.p50, "p95": order.p95, "low": order.median_low, "high": order.median_high}
    found = {f"{name}_ms": round(1000 * value, 4) for name, value in seconds.items()}
    return found | {"fps": round(order.fps, 1), "samples": order.count, "settled": measurement.warm_up.settled}
