"""From results to tables, plots and pages; reads numbers, never models."""
