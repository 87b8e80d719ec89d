"""The one error that users are meant to see."""


class DanluError(ValueError):
    """Says what is wrong, in which input or file, and what to do about it."""
