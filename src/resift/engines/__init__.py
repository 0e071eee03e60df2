"""Local engines: each implements the `Scorer` protocol with one library, which its file imports at the top."""
