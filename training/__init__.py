"""How the models are made: data, trainings, measurements. See docs/training.md."""
