"""Weights files, and the weights of other projects."""
