"""Engines: each file here meets the `Scorer` protocol with one library, imported at its top."""
