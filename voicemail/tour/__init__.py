"""A cluster of two nodes on this machine, and a tour of it with real calls: what `./run` does."""
