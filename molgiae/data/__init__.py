"""Files and records: the only home of rdkit, ase and h5py."""
