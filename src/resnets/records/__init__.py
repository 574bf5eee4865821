"""Results as they are written to disk and read again."""
