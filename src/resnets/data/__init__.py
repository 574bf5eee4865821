"""Data sets, augmentation and the order of samples; knows nothing of networks."""
