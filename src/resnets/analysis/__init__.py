"""Analyses of depth: gradients by layer, loss surfaces, and networks without one of their blocks."""
