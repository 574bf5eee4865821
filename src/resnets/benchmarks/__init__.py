"""Speed and memory side by side with the peers, measured on the user's own machine."""
