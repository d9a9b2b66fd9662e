"""``python -m molgiae``: the command line, for who has the interpreter and not its scripts at hand."""

from molgiae.cli import main

if __name__ == "__main__":
    main()
