"""The market of a batch: universe, windows, bars and samples, and their tables on disk."""
