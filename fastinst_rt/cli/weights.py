"""`fastinst-rt weights`: what is here, and fetching, converting and verifying checkpoints."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastinst_rt.cli.app import print_error
from fastinst_rt.cli.options import Quiet, Verbose
from fastinst_rt.errors import WeightsError

if TYPE_CHECKING:
    from fastinst_rt.weights.transfer import Progress

app = typer.Typer(
    name="weights",
    help="List, download, convert and verify checkpoints.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

CacheDir = Annotated[
    Path | None,
    typer.Option("--cache-dir", help="Where downloads are kept; default: the cache folder of the platform."),
]
ModelOfFile = Annotated[
    str | None, typer.Option("--model", "-m", help="Model that the file is of; default: found from its tensors.")
]
Source = Annotated[str, typer.Argument(metavar="MODEL|FILE", help="A model name, or a checkpoint file.")]


def register(parent: typer.Typer) -> None:
    """Add this module's commands to the application."""
    parent.add_typer(app)


@app.command("list", epilog="Example: [b]fastinst-rt weights list[/]")
def list_(cache_dir: CacheDir = None, verbose: Verbose = False) -> None:  # noqa: ARG001
    """Say for every model where its weights are."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from fastinst_rt.weights.catalogue import holdings

    words = {"released": "not here, can be pulled", "none": "not here, never released"}
    table = Table(box=None, pad_edge=False)
    for title in ("model", "weights", "MB", "file"):
        table.add_column(title, no_wrap=title != "file", overflow="fold")
    for holding in holdings(cache_dir):
        size = "" if holding.path is None else f"{holding.path.stat().st_size / 1e6:.1f}"
        file = str(holding.path or holding.spec.checkpoint or "")
        table.add_row(holding.spec.name, words.get(holding.origin, holding.origin), size, escape(file))
    Console().print(table)


@app.command(
    epilog="Example: [b]fastinst-rt weights pull fastinst-d1-r50[/]  "
    "Behind a mirror: [b]FASTINST_RT_WEIGHTS_URL=https://host/folder fastinst-rt weights pull fastinst-d1-r50[/]"
)
def pull(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Model names, or [b]all[/].")],
    url: Annotated[
        str | None,
        typer.Option("--url", envvar="FASTINST_RT_WEIGHTS_URL", help="Download from this folder of a mirror."),
    ] = None,
    cache_dir: CacheDir = None,
    force: Annotated[bool, typer.Option("--force", help="Download again and accept a changed file.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,  # noqa: ARG001
) -> None:
    """Download released checkpoints; goes on where it stopped, checks what is already here."""
    from fastinst_rt.models.zoo import get_spec, list_models
    from fastinst_rt.weights.catalogue import pull_model

    names = [name for name in list_models() if get_spec(name).checkpoint] if models == ["all"] else models
    specs = [get_spec(name) for name in names]  # every name is checked before the first byte is fetched
    for spec in specs:
        with _progress(spec.name, quiet) as (step, waits):
            path = pull_model(spec, folder=cache_dir, base_url=url, force=force, progress=step, on_wait=waits)
        print(path)


@app.command(
    epilog="Examples: [b]fastinst-rt weights convert fastinst-d1-r50 -o d1.safetensors[/]  "
    "[b]fastinst-rt weights convert mine.pth --model fastinst-d3-r50 --half -o mine.safetensors[/]"
)
def convert(
    source: Source,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, .safetensors.")],
    model: ModelOfFile = None,
    half: Annotated[bool, typer.Option("--half", help="Store 16-bit values: half the size.")] = False,
    cache_dir: CacheDir = None,
    quiet: Quiet = False,
    verbose: Verbose = False,  # noqa: ARG001
) -> None:
    """Convert a checkpoint to safetensors, with model, classes and provenance in the header."""
    from fastinst_rt.weights.catalogue import convert as convert_file

    metadata = convert_file(source, output, model=model, half=half, cache=cache_dir)
    if not quiet:
        size = output.stat().st_size / 1e6
        print(f"{output}: {metadata.spec.name}, {len(metadata.spec.categories)} classes, {size:.1f} MB")


@app.command(
    epilog="Examples: [b]fastinst-rt weights verify[/] (all that are here)  "
    "[b]fastinst-rt weights verify mine.safetensors[/]"
)
def verify(
    sources: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL|FILE]...", help="Default: all weights that are here.")
    ] = None,
    model: ModelOfFile = None,
    cache_dir: CacheDir = None,
    verbose: Verbose = False,  # noqa: ARG001
) -> None:
    """Check that weights are whole, unchanged since their download, and fit their model."""
    from fastinst_rt.weights.catalogue import holdings
    from fastinst_rt.weights.catalogue import verify as verify_one

    if not sources:
        sources = [holding.spec.name for holding in holdings(cache_dir) if holding.path is not None]
    if not sources:
        print("No weights are on this machine.")
    failed = 0
    for source in sources:
        try:
            checked = verify_one(source, model=model, cache=cache_dir)
        except WeightsError as error:
            print_error(error)
            failed += 1
        else:
            print(f"{checked.path}: whole; {checked.metadata.spec.name}; {checked.metadata.provenance}")
            print(f"  sha256 {checked.sha256}")
    if failed:
        raise typer.Exit(WeightsError.exit_code)


@contextmanager
def _progress(model: str, quiet: bool) -> "Iterator[tuple[Progress, Callable[[], None]]]":
    """A bar on stderr, and what to call as bytes come and when another process has the download."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True), disable=quiet) as bar:
        task = bar.add_task(model, start=False, total=None)

        def step(here: int, total: int | None) -> None:
            bar.start_task(task)
            bar.update(task, completed=here, total=total, description=model)

        yield step, lambda: bar.update(task, description=f"{model} (another process is downloading it)")
