"""Trained networks that answer: models, and the fastest way to run them here."""
