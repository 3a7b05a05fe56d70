"""The Typer application: its commands, and the one place where an error becomes a sentence and an exit code."""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import fastinst_rt
from fastinst_rt.errors import FastInstError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 + SIGINT."""


class _ErrorsAsSentences(TyperGroup):
    """Turns expected errors of any command into two sentences on stderr and their exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except FastInstError as error:
            if wants_traceback(ctx):
                print_traceback(error)
            print_error(error)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None


def wants_traceback(ctx: typer.Context) -> bool:
    """Whether `--verbose` was given to the command that runs."""
    return bool(ctx.find_root().meta.get("verbose"))


def print_traceback(error: FastInstError) -> None:
    """Where an error comes from, on stderr; FFmpeg's messages in it quote URLs, which lose their credentials."""
    import traceback

    from fastinst_rt.video.urls import redact_all

    print(redact_all("".join(traceback.format_exception(error))), end="", file=sys.stderr)


def print_error(error: FastInstError) -> None:
    """Two sentences on stderr: what is wrong, what to do."""
    from rich.console import Console

    console = Console(stderr=True, soft_wrap=True)
    console.print(f"[bold red]error:[/] {_escape(error.problem)}", highlight=False)
    console.print(f"  {_escape(error.remedy)}", highlight=False)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


app = typer.Typer(
    name="fastinst-rt",
    cls=_ErrorsAsSentences,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_show_locals=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"fastinst-rt {fastinst_rt.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Real-time instance segmentation of video with FastInst: nothing lost, every figure measured."""


def main() -> None:
    """Entry point of `fastinst-rt`."""
    app(prog_name="fastinst-rt")
    sys.exit(0)
