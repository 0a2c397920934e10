"""The networks that are trained: a configuration, an objective and a task for each."""
