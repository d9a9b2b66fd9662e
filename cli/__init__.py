"""The `molgiae` command."""
