"""Control characters of text that others wrote, as escapes that a terminal only shows."""

from __future__ import annotations

import json


def visible_text(text: str) -> str:
    r"""Return text whose control and formatting characters, line ends included, are escapes.

    >>> visible_text("Cu\x1b[2J")
    'Cu\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def visible_lines(text: str) -> str:
    """Return text of several lines with visible control characters."""
    return "\n".join(map(visible_text, text.split("\n")))


def visible_json(text: str) -> str:
    """Return JSON text in which no string holds a control or formatting character as itself."""
    return "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)
