"""Two nodes, one cluster: who is Primary, and how the nodes know of one another."""
