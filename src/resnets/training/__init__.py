"""Training of networks: trainer, schedules, checkpoints, run folders (sections 3.4 and 4.2)."""
