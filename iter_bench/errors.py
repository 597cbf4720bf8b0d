"""Errors that are the user's to mend: the command line prints their message alone, without a traceback."""


class UserError(Exception):
    """Says what was wrong, where, and what to do."""


class DataError(UserError):
    """A data file or one of its records can't be used."""


class SettingsError(UserError):
    """A setting, or a combination of settings, that can't be run."""


class ProcessKilled(UserError):
    """The process that did something was killed from outside, again and again."""
