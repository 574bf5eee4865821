"""Why depth helps or hurts: gradients by layer, loss surfaces, and networks without one of their blocks."""
