"""The one exception for mistakes that the user can correct, and how it is printed."""

import unicodedata

HIDDEN = ("Cc", "Cs", "Zl", "Zp")
"""Unicode categories that no line shows: controls, surrogates, line breaks."""


class BadInput(ValueError):
    """A setting, flag or file that cannot be used.

    The message is one line for the user; it names the setting, its value and what is
    accepted. Commands print it and end with exit code 2.
    """


def printable(text: str) -> str:
    """A text in one line: control characters and undecodable bytes are escaped."""
    return "".join(
        ascii(one)[1:-1] if unicodedata.category(one) in HIDDEN else one for one in text
    )
