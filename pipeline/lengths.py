"""python -m pipeline.lengths: fixed lengths for a recipe's programs, from the lengths of real windows."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline import buckets, console
from pipeline import recipe as recipes
from pipeline.recipe import Questions
from pipeline.types import UsageError

MOST = 8
SHARES = (0.1, 0.5, 0.9, 0.99)


def main() -> None:
    """Parses the flags, tokenizes, prints the best lengths for every number of them."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.lengths",
        description="Chooses [export] lengths: what windows of this data cost with 1, 2, … fixed lengths.",
        epilog=console.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--recipe", default="pocket", help="whose task and windows (default: pocket)")
    parser.add_argument("--model", type=Path, required=True, help="a bundle or checkpoint, for its tokenizer")
    parser.add_argument("--data", required=True, help="questions or texts like those that will be asked")
    parser.add_argument("--hidden", type=int, default=384, help="width of the hidden states (default: 384)")
    parser.add_argument("--limit", type=int, help="read only the first so many")
    given = parser.parse_args()
    if given.hidden < 1:
        raise UsageError(f"--hidden must be at least 1, got {given.hidden}")

    from pipeline.models import checkpoint
    from pipeline.tasks.methods import methods_of

    task = recipes.load(given.recipe).task
    methods = methods_of(task)
    examples = methods.examples(Questions(source=given.data, limit=given.limit)).examples
    tokenizer = checkpoint.load_tokenizer(given.model)
    found: list[int] = []
    with console.bar(Console(stderr=True), "windows") as bar:
        for done, example in enumerate(examples, start=1):
            found.extend(len(window.ids) for window in methods.windows(example, tokenizer))
            bar.update(done, len(examples))
    shares = ", ".join(f"{share:.0%} {np.quantile(found, share):.0f}" for share in SHARES)
    screen = Console(highlight=False, soft_wrap=True)
    screen.print(f"{len(found):,} windows; tokens up to which a share of them goes: {shares}")
    screen.print(_table(found, task.max_length, given.hidden))


def _table(found: list[int], longest: int, hidden: int) -> Table:
    table = Table(pad_edge=False, caption="Cost: of the mean window, against all at the longest length.")
    table.add_column("lengths")
    table.add_column("cost", justify="right")
    for count in range(1, MOST + 1):
        chosen = buckets.choose(found, count, longest, hidden)
        table.add_row(str(list(chosen)), f"{buckets.mean_cost(found, chosen, hidden):.1%}")
    return table


if __name__ == "__main__":
    sys.exit(console.run(main))
