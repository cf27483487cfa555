"""The one exception for mistakes that the user can correct."""


class BadInput(ValueError):
    """A setting, flag or file that cannot be used.

    The message is one line for the user; it names the setting, its value and what is
    accepted. Commands print it and end with exit code 2.
    """
