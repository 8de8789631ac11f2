"""Names as nobody should choose them, and some as everybody may."""

from __future__ import annotations

import random

PARTS = (
    *("a", "b2", "_", "-", ".", "..", "/", "\\", " ", "\t", "\n", "\0", "\x1b[2J", "\x7f", "\x9b", "%s", "{id}", "{}"),
    *("é", "e\u0301", "ß", "深", "ع", "\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\u2028", "\ud800", "\udce9"),
    *("😀", "\U0010ffff", "[bold]", "[/bold]", "[/]", "[link=x]", "<script>", "</title>", "&amp;", "'", '"', "`"),
    *("$HOME", "${HOME}", "$(x)", "~", "*", "?", "|", ":", ";", "#", "!", "CON", "nul", "com1.txt", "keys", "forward"),
    *("training", "__class__", "x" * 90, "0", "1e3", "yes", "null", "True", "--help", "~root"),
)


def names(count: int, seed: int = 0) -> list[str]:
    """Different names, the same for the same seed: every part alone first, then joined ones."""
    source = random.Random(seed)
    chosen = dict.fromkeys(PARTS)
    while len(chosen) < count:
        chosen["".join(source.choices(PARTS, k=source.randint(2, 6)))] = None
    alone = list(chosen)
    source.shuffle(alone)
    return alone[:count]
