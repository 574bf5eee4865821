"""The paper as declarations: its recipes and its numbers; no I/O, no torch."""
