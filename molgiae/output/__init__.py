"""Where results go: HDF5, SDF, XYZ, CSV, npz and HTML files, with tables of the records that were rejected."""
