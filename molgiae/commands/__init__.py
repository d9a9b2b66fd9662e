"""What each command does, from files to files; one module for each, named like it."""
