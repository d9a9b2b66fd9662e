"""SDF and MOL files."""
