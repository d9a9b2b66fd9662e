"""``python -m molgiae``: the command line, for who has the interpreter and not its scripts at hand."""

from importlib import import_module

if __name__ == "__main__":
    import_module("molgiae.cli").main()
