"""Sections 3.4 and 4.2: schedule, loop, checkpoints and the folder of a run."""
