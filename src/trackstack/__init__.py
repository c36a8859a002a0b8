"""trackstack: data and experiment tracking for machine learning on a SLURM cluster."""


class UserError(Exception):
    """A fault that its reader can mend.

    Its text is one line: the file with its field or line, what was found, what was expected and, where it
    helps, what to type. The stages and the command line print it without a traceback and exit with 1.
    """
