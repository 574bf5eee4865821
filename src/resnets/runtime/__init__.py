"""Runtime of a process: device, processes, signals, provenance."""
