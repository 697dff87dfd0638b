"""One run over part of the lattice: what is trained, what is reused, and what is told of each window."""
