"""`python -m stream`: one engagement worker."""

from recsys.cli import main

if __name__ == "__main__":
    main(["stream"])
