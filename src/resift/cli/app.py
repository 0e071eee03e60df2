"""The `resift` command: its subcommands, and how errors are shown."""

from __future__ import annotations

import errno
import importlib.metadata
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from resift.cli.demo import demo
from resift.cli.depth import depth
from resift.cli.distill import distill
from resift.cli.doctor import doctor
from resift.cli.eval import evaluate
from resift.cli.explain import explain
from resift.cli.export import export
from resift.cli.index import index
from resift.cli.mcp import mcp
from resift.cli.models import models
from resift.cli.playground import playground
from resift.cli.rerank import rerank
from resift.cli.score import score
from resift.cli.search import search
from resift.cli.serve import serve
from resift.cli.threshold import threshold
from resift.cli.train import train
from resift.errors import ResiftError


class _Commands(TyperGroup):
    """Shows expected errors as one line on stderr, with exit code 1. Anything else is a bug and keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ResiftError as error:
            message = str(error)
        except OSError as error:
            if error.errno == errno.EPIPE:  # `resift ... | head` has read enough; typer ends quietly
                raise
            message = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        except KeyboardInterrupt:
            typer.echo("resift: interrupted", err=True)
            raise typer.Exit(130) from None
        typer.echo(f"resift: {' '.join(message.split())}", err=True)
        raise typer.Exit(1)


app = typer.Typer(
    name="resift",
    cls=_Commands,
    help="Index documents, search them in two stages, rerank anything. Offline, on the CPU.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"resift {importlib.metadata.version('resift')}")
        raise typer.Exit


@app.callback()
def _resift(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of `resift` itself."""


_COMMANDS = (
    *(demo, index, search, playground, rerank, explain, score, serve, mcp),
    *(depth, threshold, train, distill, models, export, doctor),
)
for _command in _COMMANDS:
    app.command()(_command)
app.command("eval")(evaluate)


def main() -> None:
    """Run the command `resift`."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # an arrow that a terminal can't show is no reason to stop
    app()
