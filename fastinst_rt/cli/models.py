"""`fastinst-rt models`: the table of named models."""

import json
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this module's commands to the application."""
    app.command("models")(models)


def models(as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False) -> None:
    """List the models: input sizes, published figures, and whether their weights are on this machine."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from fastinst_rt.models.zoo import get_spec, list_models
    from fastinst_rt.weights.locate import bundled_weights, cached_weights

    rows = []
    for name in list_models():
        spec = get_spec(name)
        weights = "bundled" if bundled_weights(name) else "pulled" if cached_weights(spec) else None
        rows.append((spec, weights))

    if as_json:
        fields = ("name", "short_side", "max_side", "ap_val", "ap_test", "params_m", "gflops", "fps_v100", "checkpoint")
        table = [{f: getattr(spec, f) for f in fields} | {"weights": weights} for spec, weights in rows]
        print(json.dumps(table, indent=2))
        return

    shown = Table(
        caption="AP, GFLOPs and V100 FPS as published", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    shown.add_column("model", no_wrap=True)
    for title in ("sides", "AP val", "AP test", "params M", "GFLOPs", "V100 FPS"):
        shown.add_column(title, justify="right", no_wrap=title == "sides")
    shown.add_column("weights", no_wrap=True)
    for spec, weights in rows:
        figures = (spec.ap_val, spec.ap_test, spec.params_m, spec.gflops, spec.fps_v100)
        here = weights or ("to pull" if spec.checkpoint else "none")
        shown.add_row(
            spec.name, f"{spec.short_side}/{spec.max_side}", *("-" if f is None else f"{f:g}" for f in figures), here
        )
    Console().print(shown)
