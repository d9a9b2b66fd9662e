"""XYZ and extended XYZ files."""
