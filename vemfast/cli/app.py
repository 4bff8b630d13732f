"""The table of subcommands, and how a run ends.

Exit status: 0; 2 after an error, told in one line on standard error; 130 after Ctrl-C; 141 when the
reader of standard output went away.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn, TextIO

from vemfast.cli import apply, chains, demo, fit, topics

__all__ = ["main"]

_ERROR, _INTERRUPTED, _BROKEN_PIPE = 2, 130, 141


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand: what it is called, and the functions that say its options and run it."""

    name: str
    help: str
    configure: Callable[[Any], None]
    run: Callable[[argparse.Namespace], None]


def _config(args: argparse.Namespace) -> None:
    from vemfast import show_config

    show_config()


COMMANDS = (
    Command("fit", "fit a model to a table and save it", fit.configure, fit.run),
    Command("predict", "write the component of each row", apply.configure_predict, apply.predict),
    Command("score", "print the mean log density of rows", apply.configure_score, apply.score),
    Command(
        "decode", "write the hidden state of each step", chains.configure_decode, chains.decode
    ),
    Command("topics", "print the top words of topics", topics.configure_topics, topics.topics),
    Command(
        "transform",
        "write the topic proportions of documents, or the codes of rows",
        topics.configure_transform,
        topics.transform,
    ),
    Command("info", "print what a model file holds", apply.configure_info, apply.info),
    Command(
        "demo",
        "segment a photograph on every rung, find topics, vowels, digits",
        demo.configure,
        demo.run,
    ),
    Command("config", "print versions and the instruction set", lambda parser: None, _config),
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(_ERROR, f"{self.prog}: error: {_one_line(message)} (see {self.prog} --help)\n")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from vemfast import __version__

        print(f"vemfast {__version__}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="vemfast", description="Latent variable models on a ladder of methods.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        own = subparsers.add_parser(command.name, help=command.help, description=command.help)
        command.configure(own)
        own.set_defaults(run=command.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, default=None
        Arguments after the command's name. None: those of the process.

    Returns
    -------
    int
        The exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal cannot show is no failure
            stream.reconfigure(errors="backslashreplace")
    debug = False
    try:
        args = _parser().parse_args(argv)
        debug = args.debug
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            if not sys.warnoptions:
                warnings.simplefilter("default", UserWarning)
            args.run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
    except SystemExit as end:  # argparse's
        return end.code if isinstance(end.code, int) else _ERROR
    except BrokenPipeError:
        _abandon(sys.stdout)
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        _tell("vemfast: interrupted")
        return _INTERRUPTED
    except Exception as error:
        if debug:
            raise
        _tell(f"vemfast: error: {_describe(error)}")
        _abandon(sys.stdout)
        return _ERROR
    return 0


def _describe(error: Exception) -> str:
    """Return one line on an error."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return _one_line(f"out of memory: {error}".rstrip(": "))
    if isinstance(error, (ValueError, TypeError, ArithmeticError, ImportError)):
        return _one_line(str(error))
    name = type(error).__name__
    return _one_line(f"internal error: {name}: {error} (vemfast --debug shows the traceback)")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _show_warning(message: Warning | str, *_: Any) -> None:
    _tell(f"vemfast: warning: {_one_line(str(message))}")


def _tell(line: str) -> None:
    """Print on standard error, if that is there: print() would take standard output instead."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(line, file=sys.stderr, flush=True)


def _abandon(stream: TextIO | None) -> None:
    """Let what could not be written go nowhere, or Python would fail once more at its exit."""
    if stream is None:
        return
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
