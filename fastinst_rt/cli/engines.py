"""`fastinst-rt engines`: what is stored, whether it can be used here, and sweeping out what cannot."""

import json
from typing import Annotated

import typer

from fastinst_rt.cli import options

app = typer.Typer(
    name="engines",
    help="List, verify, inspect and prune compiled engines.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


def register(parent: typer.Typer) -> None:
    """Add this module's commands to the application."""
    parent.add_typer(app)


@app.command("list", epilog="Example: [b]fastinst-rt engines list[/]")
def list_(engine_dir: options.EngineDir = None, as_json: AsJson = False, verbose: options.Verbose = False) -> None:  # noqa: ARG001
    """List the stored engines, with their speed when they were built."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from fastinst_rt.backends.care import describe
    from fastinst_rt.backends.store import EngineStore

    store = EngineStore(engine_dir)
    found = describe(store)
    if as_json:
        print(json.dumps([one.to_json() for one in found], indent=2))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("engine", "as", "batch", "input", "on", "ms", "x eager", "MB", "usable"):
        table.add_column(
            title, justify="right" if title in ("ms", "x eager", "MB", "batch") else "left", overflow="fold"
        )
    for one in found:
        table.add_row(*map(escape, one.cells()))
    console = Console()
    console.print(table if found else "no engine yet: they are built on first use, or by [b]fastinst-rt compile[/]")
    console.print(f"in {store.folder}", style="dim", highlight=False, markup=False)
    if any(one.refusal for one in found):
        console.print("[b]fastinst-rt engines verify[/] says why one is not usable", style="dim", highlight=False)


@app.command(epilog="Example: [b]fastinst-rt engines verify[/]")
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="[ENGINE]...", help="Engines; default: all.")] = None,
    engine_dir: options.EngineDir = None,
    verbose: options.Verbose = False,  # noqa: ARG001
) -> None:
    """Check seals, hashes, versions and hardware of stored engines; exit code 5 if one must be refused."""
    from rich.console import Console
    from rich.markup import escape

    from fastinst_rt.backends.care import describe
    from fastinst_rt.backends.store import EngineStore
    from fastinst_rt.errors import EngineRefusedError

    console = Console(soft_wrap=True, highlight=False)
    found = describe(EngineStore(engine_dir), names or None)
    for one in found:
        mark = "[red]refused[/]" if one.refusal else "[green]good[/]"
        console.print(f"{mark}  {escape(one.name)}")
        if one.refusal:
            console.print(f"  {escape(one.refusal.problem)}\n  {escape(one.refusal.remedy)}")
    refused = [one for one in found if one.refusal]
    if refused:
        raise EngineRefusedError(
            f"{len(refused)} of {len(found)} engines cannot be used here.",
            "Rebuild them as said above, or run `fastinst-rt engines prune`.",
        )


@app.command(epilog="Example: [b]fastinst-rt engines inspect fastinst-nano[/] (the beginning of a name is enough)")
def inspect(
    name: Annotated[str, typer.Argument(metavar="ENGINE", help="Name of a stored engine, or how it begins.")],
    engine_dir: options.EngineDir = None,
    verbose: options.Verbose = False,  # noqa: ARG001
) -> None:
    """Print an engine's manifest: key, precision found, parity report, operators, build."""
    from fastinst_rt.backends.manifest import read_manifest
    from fastinst_rt.backends.store import EngineStore
    from fastinst_rt.errors import UsageError

    store = EngineStore(engine_dir)
    fitting = [one for one in store.names() if one.startswith(name)]
    if len(fitting) != 1:
        raise UsageError(
            f"{len(fitting)} engines in {store.folder} have names that begin with {name!r}.",
            "Give a name that `fastinst-rt engines list` shows.",
        )
    manifest = read_manifest(store.folder / fitting[0], "Build it anew with `fastinst-rt compile`.")
    print(json.dumps({"name": fitting[0]} | manifest.to_json(), indent=2))


@app.command(epilog="Example: [b]fastinst-rt engines prune --dry-run[/]")
def prune(
    everything: Annotated[bool, typer.Option("--all", help="Delete the good ones too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    engine_dir: options.EngineDir = None,
    verbose: options.Verbose = False,  # noqa: ARG001
) -> None:
    """Delete engines that cannot be used here, what broken builds left, and notes of failed builds."""
    from rich.console import Console
    from rich.markup import escape

    from fastinst_rt.backends.care import prune as sweep
    from fastinst_rt.backends.store import EngineStore

    console = Console(soft_wrap=True, highlight=False)
    deleted = sweep(EngineStore(engine_dir), everything=everything, dry_run=dry_run)
    for name, reason in deleted:
        console.print(f"{'would delete' if dry_run else 'deleted'} {escape(name)}: {escape(reason)}")
    if not deleted:
        console.print("nothing to delete")
