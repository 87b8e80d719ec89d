"""What is wrong with a dataset, found before training and, from a run's log, after it."""
