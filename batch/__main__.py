"""`python -m batch` is `recsys` for the batch image: the same commands, the same exit codes."""

from __future__ import annotations

from recsys.cli import main

if __name__ == "__main__":
    main()
