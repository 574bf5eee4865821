"""Time, memory and cost of a training before it starts."""
