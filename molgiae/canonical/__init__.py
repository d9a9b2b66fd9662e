"""Canonical frame and order of conformers, from elements, bonds and positions alone; no weights."""
