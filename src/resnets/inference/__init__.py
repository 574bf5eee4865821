"""Trained models for image files, and the fastest engine of the machine."""
