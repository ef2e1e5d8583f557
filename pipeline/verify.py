"""python -m pipeline.verify: re-hashes a bundle and replays its golden cases; any altered byte is found."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from pipeline import console


def main() -> None:
    """Parses the flags, checks, prints what was checked."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.verify",
        description="Checks every file of a bundle against its manifest and asks its golden cases again.",
        epilog=console.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path)
    given = parser.parse_args()

    from pipeline import bundles, golden
    from pipeline.models import checkpoint
    from pipeline.tasks.methods import methods_of

    bundle = bundles.read(given.bundle)
    if bundle.random_weights:
        print(
            f"{given.bundle}: all files as in the manifest; its weights are random, for size and latency only, "
            "so there is nothing else to verify"
        )
        return
    runner = bundle.runner()
    tokenizer = checkpoint.load_tokenizer(bundle.path)
    with console.bar(Console(stderr=True), "golden cases") as bar:
        replayed = golden.replay(
            bundle.path / bundles.GOLDEN,
            runner,
            tokenizer,
            methods_of(bundle.task),
            step=lambda done, total: bar.update(done, total),
        )
    print(f"{given.bundle}: all files as in the manifest, {replayed} golden cases replayed: verified")
    if runner.emulated:
        print(runner.note)


if __name__ == "__main__":
    sys.exit(console.run(main))
