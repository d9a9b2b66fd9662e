"""Training of autoencoders: what a run is, its stages, and the loop."""

from molgiae.training.run import Data, Metrics, Run, check_fit
from molgiae.training.trainer import Trainer, reconstruct, train

__all__ = ["Data", "Metrics", "Run", "Trainer", "check_fit", "reconstruct", "train"]
