"""Tests of trained networks: protocols and exact metrics."""
