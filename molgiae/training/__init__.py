"""Training: the loop, and the stages and losses of pretraining an autoencoder."""

from molgiae.training.loop import Metrics, Run, Trainer
from molgiae.training.metrics import reconstruct
from molgiae.training.pretraining import fitted, pretrainer, train
from molgiae.training.task import Data

__all__ = ["Data", "Metrics", "Run", "Trainer", "fitted", "pretrainer", "reconstruct", "train"]
