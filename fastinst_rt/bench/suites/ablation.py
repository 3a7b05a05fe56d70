"""Suite `ablation`: table I's nine columns and table III's six rows, measured beside the paper's speeds.

What is compared with the paper is the order of the speeds: which switch costs time, and which saves it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from fastinst_rt.backends.hardware import resolve_device
from fastinst_rt.bench.flops import multiply_adds, parameters
from fastinst_rt.bench.measure import Measurement, Variant
from fastinst_rt.bench.paper import paper_tables
from fastinst_rt.bench.pictures import scene
from fastinst_rt.bench.report import Check, Report, Subject
from fastinst_rt.bench.statistics import paired_change
from fastinst_rt.bench.suites.common import (
    COCO_FRAME,
    Run,
    Settings,
    engine_for,
    network,
    paper_settings,
    subject_of,
)
from fastinst_rt.bench.suites.selection import selection_cost
from fastinst_rt.bench.timers import device_timer
from fastinst_rt.models.zoo import create_model
from fastinst_rt.preprocess import geometry, resize_fast

_SIDES = (640, 853)
_PAPER_DIFFERS = 0.02
"""Two speeds of the paper closer than this are no order to compare with."""
_MOST_SELECTION_COST = 0.02
_NOTES = (
    "C (mask-guided learning) changes the training only: a column with C is the same network as the one without, "
    "and shows the same measurement.",
    "GFLOPs count a multiply-add once. Three dual-path layers take more of them than the nine of the baseline, since "
    "their feed-forward sees every pixel of E3, but in fewer and larger operations: a device that pays for arithmetic "
    "ranks the two the other way round than one that pays for every operation it starts.",
    "All networks run on random weights (seed 0): an ablation's weights were never released, and speed does not depend "
    "on them.",
)


@dataclass(frozen=True)
class Column:
    """A network of the tables.

    Attributes:
        key: for ids.
        label: for people.
        model: in the zoo.
        switches: of `create_model`.
        fps_v100, ap_val, params_m: the paper's.
        same_as: key of the column that is the same network.
    """

    key: str
    label: str
    model: str
    switches: Mapping[str, Any]
    fps_v100: float
    ap_val: float
    params_m: float | None = None
    same_as: str | None = None


def columns() -> list[Column]:
    """Table I from left to right, then table III from top to bottom."""
    found = []
    for column in paper_tables()["table_I"]["columns"]:
        on = set(column["on"])
        key = "I/" + ("".join(sorted(on)) or "none")
        without = "I/" + ("".join(sorted(on - {"C"})) or "none")
        paper = {name: column[name] for name in ("fps_v100", "ap_val", "params_m")}
        label = "I: " + (" + ".join(sorted(on)) or "Mask2Former-light")
        switches = {"dual_path": "A" in on, "activation_guided_queries": "B" in on}
        if "E" in on:
            switches["learnable_positions_and_auxiliary"] = True
        # The column with A, B, C and E has no twin without C in the table: it is measured itself.
        same_as = without if "C" in on and "E" not in on else None
        found.append(Column(key, label, "mask2former-light-r50", switches, **paper, same_as=same_as))
    for row in paper_tables()["table_III"]["rows"]:
        switches = {"num_queries": row["num_queries"], "local_maximum_first": row["local_maximum_first"]}
        first = "local maxima first" if row["local_maximum_first"] else "by score alone"
        key = f"III/{row['num_queries']}-{'local' if row['local_maximum_first'] else 'plain'}"
        label = f"III: {row['num_queries']} queries, {first}"
        found.append(Column(key, label, "fastinst-d1-r50", switches, row["fps_v100"], row["ap_val"]))
    return found


def run(settings: Settings) -> Report:
    """Measure the suite."""
    settings = replace(paper_settings(settings), protocol=settings.protocol.telling())
    device = resolve_device(settings.device)
    measured = Run("ablation", "The paper's ablations (tables I and III) on this machine", settings)
    table = columns()
    for column in table:
        _add(measured, settings, column)
    found = measured.measure(device)
    for row in measured.rows():
        if row.fps is not None:
            measured.fact(row.subject.id, "x V100", row.fps / row.facts["V100 fps"])
    samples = {column.key: found[_id(column)] for column in table if _id(column) in found}
    checks = [*orders(table, samples), *_statements(samples)]
    costs = selection_cost(settings, geometry(COCO_FRAME, *_sides(settings)), device)
    if "III/100-local" in samples:
        checks.append(_selection_check(costs, samples["III/100-local"]))
    return measured.report(checks, _NOTES)


def _sides(settings: Settings) -> tuple[int, int]:
    return settings.short_side or _SIDES[0], settings.max_side or _SIDES[1]


def _id(column: Column) -> str:
    return f"{column.key}/engine/latency"


def _add(run: Run, settings: Settings, column: Column) -> None:
    shape = geometry(COCO_FRAME, *_sides(settings))
    facts = {
        "AP val": column.ap_val,
        "params M": {"ours": None, "paper": column.params_m},
        "GFLOPs": None,
        "V100 fps": column.fps_v100,
        "x V100": None,
    }
    plain = Subject(_id(column), column.label, "engine", model=column.model, padded=shape.padded)
    settings.say(f"building {column.label}")

    def make() -> None:
        net, weights, sha256 = network(column.model, **column.switches)
        facts["params M"] = {"ours": parameters(net) / 1e6, "paper": column.params_m}
        facts["GFLOPs"] = multiply_adds(lambda: create_model(column.model, **column.switches), shape.padded)
        if column.same_as is not None:
            run.share(replace(plain, weights=weights), f"{column.same_as}/engine/latency", **facts)
            return
        engine = engine_for(net, sha256, shape, settings)
        picture = resize_fast(scene(shape.frame), shape.resized)[None]
        run.add(
            subject_of(engine, shape, weights, id=plain.id, label=plain.label, level="engine"),
            Variant(lambda: engine(picture), device_timer(engine.info.device)),
            **facts,
        )

    run.attempt(plain, make, **facts)


def orders(table: Sequence[Column], samples: Mapping[str, Measurement]) -> list[Check]:
    """For each table: do pairs that the paper tells apart come in the same order here?"""
    checks = []
    for name in ("I", "III"):
        ours = [c for c in table if c.key.startswith(f"{name}/") and c.key in samples and c.same_as is None]
        same, open_, against = 0, 0, []
        for a, b in combinations(ours, 2):
            paper = a.fps_v100 / b.fps_v100 - 1  # time of b against a
            if abs(paper) < _PAPER_DIFFERS:
                continue
            seen = paired_change(samples[b.key].over(samples[a.key]))
            if not seen.excludes_zero:
                open_ += 1
            elif (seen.value > 0) == (paper > 0):
                same += 1
            else:
                against.append(f"{a.label} / {b.label}")
        text = (
            f"{same} pairs in the paper's order, {open_} cannot be told apart here, {len(against)} the other way round"
        )
        if against:
            text += ": " + "; ".join(against)
        holds = False if against else True if same else None
        checks.append(Check(f"Table {name}: speeds come in the paper's order", text, holds))
    return checks


def _statements(samples: Mapping[str, Measurement]) -> list[Check]:
    """What the switches A and B must do to the time of a picture."""
    checks = []
    for off, on in (("I/none", "I/B"), ("I/A", "I/AB")):
        if off in samples and on in samples:
            cost = paired_change(samples[on].over(samples[off]))
            checks.append(
                Check(
                    f"Without IA-guided queries it is not slower than with them ({off[2:]} and {on[2:]})",
                    f"with them {cost.value:+.1%}, interval {cost.low:+.1%} to {cost.high:+.1%}",
                    cost.value > 0 if cost.excludes_zero else None,
                )
            )
    if "I/none" in samples and "I/A" in samples:
        gain = paired_change(samples["I/none"].over(samples["I/A"]))
        checks.append(
            Check(
                "Nine layers of the baseline are slower than three dual-path layers",
                f"{gain.value:+.1%} time, interval {gain.low:+.1%} to {gain.high:+.1%}",
                gain.value > 0 if gain.excludes_zero else None,
            )
        )
    return checks


def _selection_check(costs: Mapping[str, float], whole: Measurement) -> Check:
    """Local maxima first, against the time of the whole network: too little to see in the rows, so timed by itself."""
    extra = (costs["local maxima first"] - costs["by score alone"]) / float(np.median(whole.samples))
    found = f"selecting takes {costs['by score alone'] * 1e3:.2f} ms by score alone, "
    found += f"{costs['local maxima first'] * 1e3:.2f} ms local maxima first: {extra:+.2%} of the network's time"
    return Check("Local maxima first costs under 2 %", found, extra < _MOST_SELECTION_COST)
