"""How a process runs: its device, the processes that it works with, signals, and where a result comes from."""
