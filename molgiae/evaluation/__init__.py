"""What a model is worth: every module is one thing that is measured, `report` holds the results."""
