"""Text of others on a line of Markdown: names, labels and sentences that may hold anything."""

import re

# What Markdown, also GitHub's, reads as more than a letter; an underscore within a word is one.
_MARKUP = re.compile(r"[\\`*\[<|~$]|(?<![^\W_])_|_(?![^\W_])|&(?=[#\w])")


def markdown_text(text: str) -> str:
    r"""Write text on one line of Markdown so that it is shown as it is: no markup, no HTML, no link.

    >>> print(markdown_text("<!-- a_b *c* | [d](e) &amp; __f"))
    \<!-- a_b \*c\* \| \[d](e) \&amp; \_\_f
    """
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def markdown_code(text: str) -> str:
    """Write text as code within a line of Markdown, whatever it holds.

    >>> print(markdown_code("plain"), markdown_code("a `b` c"))
    `plain` `` a `b` c ``
    """
    line = " ".join(text.split())
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence}{line}{fence}" if fence == "`" else f"{fence} {line} {fence}"
