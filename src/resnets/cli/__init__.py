"""The command `resnets`: one file per command; each parses, calls the package and prints."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import typer

from resnets.cli import (
    ablate,
    calibrate,
    compare,
    convert,
    data,
    deepen,
    demo,
    detect,
    doctor,
    embed,
    evaluate,
    explain,
    export,
    gradients,
    landscape,
    locate,
    neighbours,
    networks,
    plan,
    predict,
    report,
    reproduce,
    responses,
    serve,
    study,
    train,
)
from resnets.cli.options import Command, Group, Modules, TrainingCommand
from resnets.cli.output import DEBUG, OutputError, note, standard_streams
from resnets.errors import FailedElsewhere, Interrupted, ProcessLost, ResnetsError, UsageError, first_line, printable
from resnets.version import __version__

PANELS: dict[str, dict[str, Callable[..., None] | typer.Typer]] = {
    "Train, test and use networks": {
        "train": train.train,
        "evaluate": evaluate.evaluate,
        "calibrate": calibrate.calibrate,
        "predict": predict.predict,
        "explain": explain.explain,
        "embed": embed.embed,
        "neighbours": neighbours.neighbours,
        "serve": serve.serve,
        "detect": detect.app,
        "locate": locate.app,
        "convert": convert.convert,
        "export": export.export,
    },
    "Plan and inspect": {
        "plan": plan.plan,
        "data": data.app,
        "list": networks.list_entries,
        "info": networks.info,
        "doctor": doctor.doctor,
    },
    "Ask the paper's questions": {
        "demo": demo.demo,
        "study": study.study,
        "reproduce": reproduce.reproduce,
        "responses": responses.responses,
        "gradients": gradients.gradients,
        "landscape": landscape.landscape,
        "ablate": ablate.ablate,
        "deepen": deepen.deepen,
        "compare": compare.compare,
        "report": report.report,
    },
}
"""All commands, as the help shows them."""

ELSEWHERE: dict[str, tuple[str, ...]] = {
    "network": ("--model", "--arch", "-a", "--net", "--backbone", "--model-name"),
    "weights": ("--pretrained", "--checkpoint", "--ckpt", "--initial-checkpoint", "--finetune", "--model", "--arch"),
    "networks": ("--model", "--models", "--arch"),
    "runs": ("--model", "--arch", "--checkpoint", "--ckpt"),
    "targets": ("--model", "--arch", "--checkpoint", "--ckpt"),
    "data": ("--dataset", "--data-path", "--data-dir", "--data-root", "--train-data", "--num-classes", "--nb-classes"),
    "source": ("--dataset", "--data-path", "--data-dir", "--data-root", "--data", "-d", "--pretrained", "--checkpoint"),
    "images": ("--source", "--image", "--input", "-i"),
    "out": ("--output", "--output-dir", "--save-dir", "--work-dir", "--project", "--log-dir"),
    "epochs": ("--epoch", "--num-epochs", "--max-epochs"),
    "budget": ("--epochs", "--epoch"),
    "iterations": ("--epochs", "--epoch", "--max-iter", "--max-steps", "--steps", "--iters", "--iteration"),
    "batch_size": ("--batch", "--bs", "-b", "--batchsize", "--train-batch-size"),
    "lr": ("--learning-rate", "--lr0", "--base-lr", "--initial-lr"),
    "weight_decay": ("--wd", "--decay", "--l2"),
    "label_smoothing": ("--smoothing",),
    "recipe": ("--opt", "--optimizer", "--sched", "--scheduler", "--lr-scheduler", "--config", "--cfg"),
    "size": ("--imgsz", "--img-size", "--image-size", "--input-size", "--crop-size", "--train-crop-size"),
    "accumulate": ("--grad-accum-steps", "--grad-accum", "--accumulation-steps", "--gradient-accumulation-steps"),
    "ema": ("--model-ema", "--ema-decay", "--model-ema-decay"),
    "evaluate_every": ("--eval-every", "--val-every", "--eval-interval", "--val-interval"),
    "save_every": ("--save-period", "--checkpoint-interval", "--save-interval", "--checkpoint-hist"),
    "seed": ("--random-seed", "--manual-seed"),
    "split": ("--val-split", "--validation-split"),
    "classes": ("--class-names",),
    "device": ("--gpu", "--gpus", "--gpu-id", "--cuda", "--devices", "--accelerator"),
    "precision": ("--amp", "--fp16", "--bf16", "--half", "--dtype"),
    "workers": ("--num-workers", "--nw", "-j"),
    "class_weights": ("--class-weight", "--cls-weights", "--loss-weights"),
    "in_channels": ("--in-chans", "--channels", "--num-channels"),
    "protocol": ("--tta", "--crops", "--metric"),
    "top": ("--topk", "--top-k"),
    "threshold": ("--conf", "--score-threshold", "--conf-thres"),
    "frozen_stages": ("--freeze", "--trainable-backbone-layers"),
}
"""Options of torchvision's, timm's and other trainers, by the parameter here that does their work."""


class _InOrder(Group):
    def list_commands(self, ctx: Any) -> list[str]:
        return [name for commands in PANELS.values() for name in commands]


app = typer.Typer(
    name="resnets",
    cls=_InOrder,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every command takes --debug, which shows the traceback of an error.",
)
for _panel, _commands in PANELS.items():
    for _name, _command in _commands.items():
        if isinstance(_command, typer.Typer):
            app.add_typer(_command, name=_name, rich_help_panel=_panel)
        else:
            cls = TrainingCommand if _name == "train" else Command
            app.command(_name, cls=cls, rich_help_panel=_panel)(_command)


def _version(value: bool) -> None:
    if value:
        print(f"resnets {__version__}")
        raise typer.Exit()


def import_modules(modules: list[str]) -> None:
    """Import what `--import` names, also from the current folder. Raises: UsageError, if there is no such module."""
    if modules and "" not in sys.path:
        sys.path.insert(0, "")  # the current folder, as with `python -m`
    for module in modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            raise UsageError(f"--import {module}: there is no such module, here or installed") from None


@app.callback()
def _main(
    modules: Modules = None,
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Deep Residual Learning for Image Recognition (He, Zhang, Ren, Sun, 2015): train, test and use its networks."""
    import_modules(modules or [])


def run(arguments: list[str], program: typer.Typer = app, name: str = "resnets") -> int:
    """Run a program, the command `resnets` unless another is given, with these arguments and return its exit code.

    0: done; 1: failed; 2: wrong usage; 128 + n: stopped by signal n. An error is one line on standard error. Of
    several processes that torchrun started the first one shows everything, and the first that fails its error.
    """
    with contextlib.ExitStack() as streams:
        if _process() is not None:
            os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # else a lost process is C++ stack frames first
        if _process() not in (None, 0):
            nowhere = streams.enter_context(open(os.devnull, "w"))
            streams.enter_context(contextlib.redirect_stdout(nowhere))
        streams.enter_context(standard_streams())
        return _run(arguments, program, name)


def _process() -> int | None:
    """Return the number of this process among several, or None where it is alone."""
    several, rank = os.environ.get("WORLD_SIZE", ""), os.environ.get("RANK", "")
    return int(rank) if several.isdecimal() and int(several) > 1 and rank.isdecimal() else None


def _run(arguments: list[str], program: typer.Typer, name: str) -> int:
    first = _process() in (None, 0)
    debug = "--debug" in arguments
    DEBUG.set(debug)
    warnings.showwarning = lambda message, *_: note(first_line(message), name) if first else None  # torch's may be long
    try:
        code = program(args=[a for a in arguments if a != "--debug"], prog_name=name, standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except OutputError as error:
        return 1 if error.reader_ended else _fail(str(error), 1, name)
    except Interrupted as stop:
        if first:
            print(f"{name}: {stop}", file=sys.stderr)
        return stop.exit_code
    except FailedElsewhere as error:
        return error.exit_code
    except ProcessLost as error:  # which names the process that it is about
        if debug:
            raise
        print(f"{name}: error: {error}", file=sys.stderr)
        return error.exit_code
    except ResnetsError as error:
        if debug:
            raise
        return _fail(str(error), error.exit_code, name)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", 130, name)
    except MemoryError:
        return _fail("out of memory; a smaller --batch-size needs less", 1, name)
    except Exception as error:
        if debug:
            raise
        if hasattr(error, "format_message"):  # Typer's own: an unknown option, a missing argument ...
            context = getattr(error, "ctx", None)
            message = _right_option(getattr(error, "option_name", None), context) or error.format_message()
            if not message:  # `resnets` alone: the help has been shown
                return 2
            where = f"; see `{context.command_path} --help`" if context is not None else ""
            return _fail(f"{message.rstrip('.')}{where}", getattr(error, "exit_code", 2), name)
        line = (str(error).splitlines() or [""])[0]
        return _fail(f"{type(error).__name__}: {line} (--debug shows where)", 1, name)


def _right_option(name: str | None, context: Any) -> str:
    """Return a sentence that names this command's parameter for an option of another tool, or "" if there is none."""
    wrong = (name or "").replace("_", "-")
    parameters = {parameter.name: parameter for parameter in context.command.params} if wrong else {}
    for parameter in parameters.values():
        if wrong in parameter.opts:  # but for an underscore
            return f"there is no option {name}; use {wrong}"
    for right in (right for right, names in ELSEWHERE.items() if wrong in names and right in parameters):
        if parameters[right].param_type_name == "argument":
            return f"there is no option {name}; it is the argument {right.upper()}"
        return f"there is no option {name}; use {max(parameters[right].opts, key=len)}"
    return ""


def _fail(message: str, code: int, name: str) -> int:
    if (rank := _process()) is not None:
        from resnets.runtime.failures import is_first_to_fail

        if not is_first_to_fail():
            return code
        message = f"rank {rank} of {os.environ['WORLD_SIZE']}: {message}"
    print(printable(f"{name}: error: {message}"), file=sys.stderr)
    return code
