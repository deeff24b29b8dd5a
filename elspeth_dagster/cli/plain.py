"""Text for a terminal: what rows, plugins and databases say is not trusted, so nothing of it may steer it."""


def plain(text: str) -> str:
    """One line, in which everything that is not printable is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def plain_lines(text: str) -> str:
    """Several lines, each of them plain."""
    return "\n".join(map(plain, text.split("\n")))
