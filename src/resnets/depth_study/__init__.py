"""Depth study on your data, and the demonstration on handwritten digits."""
