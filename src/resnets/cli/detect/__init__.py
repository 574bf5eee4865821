"""`resnets detect`: one file per command."""

from __future__ import annotations

import typer

from resnets.cli.detect import check, evaluate, predict, score, train

app = typer.Typer(no_args_is_help=True, help="Detect objects (section 4.3): Faster R-CNN, its data and its scores.")
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("score")(score.score)
app.command("check")(check.check)
