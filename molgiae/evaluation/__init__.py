"""What a model is worth: `study` measures, `report` tells; every other file is one thing that is measured."""

from molgiae.evaluation.report import Report
from molgiae.evaluation.study import SECTIONS, Settings, evaluate

__all__ = ["SECTIONS", "Report", "Settings", "evaluate"]
