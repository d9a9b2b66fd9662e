"""Groups as batched tensors: torch only, one group a file."""
