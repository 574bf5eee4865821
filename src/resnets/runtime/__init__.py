"""How a process runs: device, processes, signals, provenance."""
