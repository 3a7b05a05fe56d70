"""`fastinst-rt models`: the table of named models."""

import typer


def register(app: typer.Typer) -> None:
    """Add this module's commands to the application."""
    app.command("models")(models)


def models() -> None:
    """List the models: sizes, published figures and whether their weights are here."""
    raise NotImplementedError  # replaced as soon as the zoo stands
