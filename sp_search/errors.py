"""One small error tree: the command line prints a `UserError` as one line and exits 2."""


class UserError(Exception):
    """Says where, what was expected, what came, and the next step."""


class ConfigError(UserError):
    """A setting, a search space or a command's override is wrong."""


class DataError(UserError):
    """A corpus, manifest or dictionary is wrong."""


class CheckpointError(UserError):
    """A unit LM, prompt or quantizer file is wrong, or does not belong to its partner."""


class DownloadError(UserError):
    """A published file can't be had, or is not what it was published as."""


class StudyError(UserError):
    """A study exists with other data, another LM or another task, or has nothing to give."""


class ShapeError(ValueError):
    """A tensor has a shape that the caller of a numeric function should never have passed."""
