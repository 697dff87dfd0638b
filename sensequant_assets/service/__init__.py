"""Answers of the students that serve, to whoever asks: over HTTP, and in a notebook."""
