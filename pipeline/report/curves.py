"""The report's loss curves: one panel for every stage that was trained into this store."""

from __future__ import annotations

from markupsafe import Markup

from pipeline.report.plots import NARROW, WIDE
from pipeline.report.summary import Curve, RunSummary
from pipeline.report.svg import Drawing

PITCH, PANEL = 190, 130
"""From one panel to the next, and the height of its plot, in CSS pixels."""


def loss_curves(summary: RunSummary) -> Markup | None:
    """Training loss over steps; None where nothing was trained here."""
    curves = [curve for curve in summary.curves if len(curve.steps) > 1]
    if not curves:
        return None
    return Markup("").join(
        _draw(curves, width).markup(name) for width, name in ((WIDE, "wide"), (NARROW, "narrow"))
    )


def _draw(curves: list[Curve], width: int) -> Drawing:
    described = "; ".join(f"{c.stage}: from {c.losses[0]:.2f} to {c.losses[-1]:.2f}" for c in curves)
    drawing = Drawing("curves", "Training loss", described, width, PITCH * len(curves))
    for place, curve in enumerate(curves):
        _panel(drawing, curve, PITCH * place + 26.0, width)
    return drawing


def _panel(drawing: Drawing, curve: Curve, top: float, width: int) -> None:
    left, right, bottom = 46.0, width - 12.0, top + PANEL
    low, high = min(curve.losses), max(curve.losses)
    low, high = min(0.0, low), high if high > low else low + 1.0

    def across(step: float) -> float:
        return left + step / curve.steps[-1] * (right - left)

    def up(loss: float) -> float:
        return bottom - (loss - low) / (high - low) * (bottom - top)

    drawing.text(0, top - 10, f"{curve.stage}: loss {curve.losses[-1]:.2f} at the end", "label")
    for loss in (low, (low + high) / 2, high):
        drawing.line(left, up(loss), right, up(loss), "axis" if loss == low else "grid")
        drawing.text(left - 8, up(loss) + 4, f"{loss:.3g}", "tick", "end")
    drawing.text(right, bottom + 18, f"{curve.steps[-1]:,} steps", "tick", "end")
    drawing.curve([(across(s), up(v)) for s, v in zip(curve.steps, curve.losses, strict=True)], "curve")
