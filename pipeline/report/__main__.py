"""python -m pipeline.report OUT: a run's report again, with what was measured of its bundles since."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline import console


def main() -> None:
    """Parses the flags and writes report.html into the run's folder."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.report",
        description="Writes a run's report again, with the measurements of its bundles in OUT/measurements.",
        epilog=console.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="the run's folder, with its summary.json")
    out: Path = parser.parse_args().out

    from pipeline.report import devices, page, saved

    summary = saved.read(out)
    found = devices.found(summary, out)
    path = page.render(summary, out, found)
    for sentence in found.notes:
        print(sentence)
    shown = len(found.measurements)
    print(f"report  {path}, with {shown} measurement{'s' * (shown != 1)}")


if __name__ == "__main__":
    sys.exit(console.run(main))
