"""A drawing that the page's style sheet colours: classes, escaped text, a title and a description."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

CHARACTER = 7.4
"""Width of a character of the labels in a wide system font, in the drawing's units."""


class Drawing:
    """SVG in units of CSS pixels, `width` wide; drawn in full size where the page has the room."""

    def __init__(self, name: str, title: str, description: str, width: float, height: float) -> None:
        self.name, self.title, self.description = name, title, description
        self.width, self.height = width, height
        self._parts: list[Markup] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
        """A straight line."""
        self._parts.append(
            Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(
                *(round(v, 1) for v in (x1, y1, x2, y2)), style
            )
        )

    def curve(self, points: Sequence[tuple[float, float]], style: str) -> None:
        """A line through all points."""
        path = " ".join(f"{round(x, 1)},{round(y, 1)}" for x, y in points)
        self._parts.append(Markup('<polyline points="{}" class="{}"/>').format(path, style))

    def bar(self, x: float, y: float, width: float, height: float, style: str) -> None:
        """A horizontal bar, never thinner than a hairline."""
        self._parts.append(
            Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="1.5" class="{}"/>').format(
                round(x, 1), round(y, 1), round(max(width, 1.5), 1), height, style
            )
        )

    def mark(self, x: float, y: float, style: str, tip: str, *, square: bool = False) -> None:
        """A point with a tip; square for another kind of thing."""
        shape = (
            Markup('<rect x="{}" y="{}" width="10" height="10" class="{}"><title>{}</title></rect>').format(
                round(x - 5, 1), round(y - 5, 1), style, tip
            )
            if square
            else Markup('<circle cx="{}" cy="{}" r="5.5" class="{}"><title>{}</title></circle>').format(
                round(x, 1), round(y, 1), style, tip
            )
        )
        self._parts.append(shape)

    def text(self, x: float, y: float, words: str, style: str = "", anchor: str = "start") -> None:
        """One line of text, its baseline at `y`."""
        self._parts.append(
            Markup('<text x="{}" y="{}" text-anchor="{}" class="{}">{}</text>').format(
                round(x, 1), round(y, 1), anchor, style, words
            )
        )

    def markup(self, variant: str) -> Markup:
        """The element; `variant` keeps identifiers apart where a page holds a drawing twice."""
        identifier = f"{self.name}-{variant}"
        return Markup(
            '<svg class="{}" viewBox="0 0 {} {}" width="{}" height="{}" role="img" '
            'aria-labelledby="{}-title {}-text">'
            '<title id="{}-title">{}</title><desc id="{}-text">{}</desc>{}</svg>'
        ).format(
            variant,
            round(self.width),
            round(self.height),
            round(self.width),
            round(self.height),
            *(identifier,) * 3,
            escape(self.title),
            identifier,
            escape(self.description),
            Markup("").join(self._parts),
        )
