"""Load an experiment, plan its points, run and time them, record the rows. Only this package knows devices."""
