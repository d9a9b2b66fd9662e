"""The group-invariant autoencoder of conformers: architectures, checkpoints, the shipped models, and their use."""
