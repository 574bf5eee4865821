"""`resnets detect`: one file per command."""

from __future__ import annotations

import typer

from resnets.cli.detect import check, score

app = typer.Typer(no_args_is_help=True, help="Detect objects (section 4.3): data, scoring by VOC's and COCO's rules.")
app.command("score")(score.score)
app.command("check")(check.check)
