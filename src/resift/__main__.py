"""`python -m resift` is the command `resift`."""

from __future__ import annotations

from resift.cli.app import main

if __name__ == "__main__":
    main()
