"""`fastinst-rt doctor`: what is installed, which backends can run, and what to do about the others."""

import json
from typing import Annotated

import typer

from fastinst_rt.cli import options


def register(app: typer.Typer) -> None:
    """Add this module's commands to the application."""
    app.command("doctor", epilog="Example: [b]fastinst-rt doctor --json[/]")(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    engine_dir: options.EngineDir = None,
    verbose: options.Verbose = False,  # noqa: ARG001
) -> None:
    """Say what is installed, which backends can run here, why the others cannot, and one remedy each."""
    from dataclasses import asdict

    from rich.console import Console
    from rich.markup import escape

    from fastinst_rt.backends.diagnosis import diagnose

    report = diagnose(engine_dir)
    if as_json:
        print(json.dumps({title: [asdict(one) for one in findings] for title, findings in report.items()}, indent=2))
        return
    console = Console(soft_wrap=True, highlight=False)
    for title, findings in report.items():
        console.print(f"[bold]{title}[/]")
        width = max(len(one.name) for one in findings)
        for one in findings:
            mark = "[green]yes[/]" if one.good else "[yellow]no [/]"
            console.print(f"  {mark}  {one.name:<{width}}  {escape(one.detail)}")
            if one.remedy:
                console.print(f"       {'':<{width}}  [dim]{escape(one.remedy)}[/]")
