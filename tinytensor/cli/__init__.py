"""The `tinytensor` command: train, eval, predict, info, plot."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from tinytensor import __version__, threads
from tinytensor.cli import training, using
from tinytensor.cli.arguments import Parser, say

__all__ = ["main", "read"]

_FAILED, _DIVERGED, _INTERRUPTED = 1, 3, 130  # 130: what a shell reports of a program ended by Ctrl-C
_EPILOG = """examples:
  tinytensor train                                   MNIST, which is in the package
  tinytensor train --recipe best                     the best network of under a minute
  tinytensor train --csv iris.csv --target species   a table
  tinytensor train --resume                          go on with the run in runs/latest
  tinytensor eval runs/latest                        accuracy on the test data
  tinytensor predict runs/latest seven.png           what is in a picture
  tinytensor info runs/latest                        what a checkpoint holds
  tinytensor plot runs/latest                        learning curves

exit status:
  0    done
  1    data or files cannot be read or written, or something is missing
  2    wrong command line
  3    training diverged: loss or gradients are infinite or not a number
  130  interrupted (Ctrl-C)"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (default: the process's) and return its exit status.

    0: done; 1: the data or the files went wrong; 2: the command line did; 3: training diverged; 130: Ctrl-C. Each
    failure writes one line to standard error, as a JSON object with --json. `--help` and a wrong command line leave
    by SystemExit, as argparse does.
    """
    options = read(arguments)
    try:
        with threads(options.threads) if getattr(options, "threads", None) else nullcontext():
            return int(options.run(options))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit complains again
        return _FAILED
    except MemoryError as error:
        return _fail(options, _text(error) or "not enough memory")
    except FloatingPointError as error:
        return _fail(options, _text(error), _DIVERGED)
    except (OSError, ValueError, ImportError) as error:
        return _fail(options, _text(error))


def read(arguments: Sequence[str] | None = None) -> Namespace:
    """What a command line asks for. SystemExit as argparse's for a wrong one."""
    return _parser().parse_args(arguments)


def _parser() -> Parser:
    parser = Parser(
        prog="tinytensor", description="Train small networks and use them: images and tables.", epilog=_EPILOG
    )
    parser.add_argument("--version", action="version", version=f"tinytensor {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="{train,eval,predict,info,plot}")
    training.add_command(commands)
    using.add_commands(commands)
    return parser


def _text(error: Exception) -> str:
    """The message of `error` on one line, without errno's number."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{os.fspath(error.filename)}: {error.strerror}"
    return " ".join(str(error).split())


def _fail(options: Any, message: str, status: int = _FAILED) -> int:
    if getattr(options, "json", False):
        say({"event": "error", "command": options.command, "message": message, "status": status}, sys.stderr)
    else:
        print(f"tinytensor {options.command}: error: {message}", file=sys.stderr)
    return status
