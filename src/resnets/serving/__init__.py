"""A trained network over HTTP: a page to try it, JSON, KServe's protocol and metrics."""
