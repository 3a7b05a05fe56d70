"""Suite `backends`: every backend that can run here, for one model and one shape, with its parity to FP32 eager."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from fastinst_rt.backends.base import Engine
from fastinst_rt.backends.eager import EagerEngine
from fastinst_rt.backends.hardware import device_kind, resolve_device
from fastinst_rt.backends.parity import GATES, compare
from fastinst_rt.backends.pictures import drawn_pictures, fit
from fastinst_rt.backends.registry import BACKENDS, precisions
from fastinst_rt.bench.measure import Variant
from fastinst_rt.bench.report import Report, Subject
from fastinst_rt.bench.suites.common import (
    RANDOM,
    RANDOM_NOTE,
    Run,
    Settings,
    engine_for,
    network,
    shape_for,
    starred,
    subject_of,
)
from fastinst_rt.bench.suites.media import clip_name, default_clip, pictures
from fastinst_rt.bench.timers import device_timer
from fastinst_rt.errors import ParityError

FRAME = (720, 1280)
_PARITY_PICTURES = 4


def run(settings: Settings) -> Report:
    """Measure the suite."""
    net, weights, sha256 = network(settings.model, settings.weights)
    shape = shape_for(net.spec, settings, FRAME)
    device = resolve_device(settings.device)
    clip = default_clip(settings.clip)
    images = fit(pictures(clip, FRAME, _PARITY_PICTURES), shape.resized)
    if clip is None:
        images = drawn_pictures(_PARITY_PICTURES, shape.resized)
    measured = Run("backends", f"Every backend that runs here: {starred(net.spec.name, weights)}", settings)
    reference = EagerEngine(net, shape.resized, device=device, model=net.spec.name)
    picture = images[0][None]
    for name in ("eager", *BACKENDS):
        for precision in precisions(name, device_kind(device)) or ("",):
            label = f"{name} {precision}".strip()
            plain = Subject(f"{label}/engine/latency", label, "engine", model=net.spec.name, padded=shape.padded)
            if not precision:
                measured.skip(plain, f"It does not run on {device_kind(device)}.")
                continue
            settings.say(f"opening {label}")

            def make(name: str = name, precision: str = precision, plain: Subject = plain) -> None:
                engine = engine_for(net, sha256, shape, replace(settings, backend=name, precision=precision))
                measured.add(
                    subject_of(engine, shape, weights, id=plain.id, label=plain.label, level="engine"),
                    Variant(lambda: engine(picture), device_timer(engine.info.device)),
                    **{"x eager": None, **_parity(reference, engine, images)},
                )

            measured.attempt(plain, make)
    measured.measure(device)
    found = measured.rows()
    eager_fps = next((row.fps for row in found if row.subject.id == "eager fp32/engine/latency"), None)
    for row in found:
        if row.fps is not None and eager_fps is not None:
            measured.fact(row.subject.id, "x eager", row.fps / eager_fps)
    notes = [
        f"Parity on {_PARITY_PICTURES} {clip_name(clip)}, instances matched by class and mask IoU with FP32 eager."
    ]
    return measured.report((), [*notes, *([RANDOM_NOTE] if weights == RANDOM else [])])


def _parity(reference: Engine, engine: Engine, images: Sequence[npt.NDArray[np.uint8]]) -> dict[str, str]:
    """The columns of the parity gate."""
    try:
        found = compare(reference, engine, images, GATES[engine.info.precision])
    except ParityError as error:
        return {"agreement": "", "mask IoU": "", "gate": f"cannot be judged: {error.problem}"}
    gate = "passed" if found.passed else "FAILED"
    return {"agreement": f"{found.agreement:.1%}", "mask IoU": f"{found.mean_iou:.4f}", "gate": gate}
