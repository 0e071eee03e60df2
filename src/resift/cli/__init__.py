"""The command line: a file per command, and what commands share in files that begin with an underscore."""
