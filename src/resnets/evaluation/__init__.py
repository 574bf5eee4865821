"""Test protocols and exact metrics."""
