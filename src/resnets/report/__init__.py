"""Reports: results next to the paper's tables and figures; reads files, never models."""
