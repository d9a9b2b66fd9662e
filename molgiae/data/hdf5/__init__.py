"""HDF5 files of molgiae: their schema, writing, reading and validation."""
