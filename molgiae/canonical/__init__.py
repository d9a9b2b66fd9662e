"""Canonical frame and order of conformers, from elements, isotopes and positions; no weights."""
