"""The command ``vemfast``: fit, predict, score, topics, transform, info, demo, config.

`app` holds the table of subcommands and turns every failure into one line and an exit status; the
other files are the subcommands. On top of all layers; nothing imports it.
"""

from vemfast.cli.app import main

__all__ = ["main"]
