"""Where wide tables go: a terminal folds them to its width, a file or a log of CI takes them whole."""

from __future__ import annotations

from rich.console import Console

LOG_COLUMNS = 180


def console_for_tables() -> Console:
    """Standard output, whose lines in a log are as long as a table's."""
    screen = Console(highlight=False, soft_wrap=True)
    return screen if screen.is_terminal else Console(highlight=False, soft_wrap=True, width=LOG_COLUMNS)
