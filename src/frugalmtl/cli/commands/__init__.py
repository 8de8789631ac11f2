"""Commands of the command line, one a file: ``parser()`` and ``run(arguments)``."""
