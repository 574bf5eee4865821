"""Localisation of the one object of an image: per-class RPN and R-CNN (appendix C), their data and scoring."""
