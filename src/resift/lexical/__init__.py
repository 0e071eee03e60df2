"""An index of the words of passages, on disk or in memory, that is kept up to date in place."""
