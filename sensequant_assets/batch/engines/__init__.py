"""Who trains: the threads of this process, or the workers of a cluster."""
