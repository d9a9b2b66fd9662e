"""Where results go: HDF5, SDF, XYZ, CSV and npz files, with tables of the records that were rejected."""
