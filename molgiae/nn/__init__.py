"""Networks, one published idea a file. They emit invariant and equivariant quantities and know no groups."""
