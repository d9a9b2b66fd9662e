"""Training of autoencoders: what a run is, its stages, and the loop."""

from molgiae.training.loop import Trainer, reconstruct, train
from molgiae.training.run import Data, Metrics, Run, check_fit

__all__ = ["Data", "Metrics", "Run", "Trainer", "check_fit", "reconstruct", "train"]
