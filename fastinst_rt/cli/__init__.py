"""The command line: parse, call, print. Heavy libraries are imported inside the commands, never at module level."""

from fastinst_rt.cli import (
    bench,
    compile,
    demo,
    doctor,
    engines,
    evaluate,
    explain,
    image,
    live,
    models,
    train,
    video,
    weights,
)
from fastinst_rt.cli.app import app, main

# the order of `--help`
for commands in (demo, live, video, image, models, compile, engines, bench, evaluate, train, explain, weights, doctor):
    commands.register(app)

__all__ = ["app", "main"]
