"""How deep is worth it on your data, and the demonstration on handwritten digits."""
