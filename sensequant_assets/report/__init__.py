"""A batch as one page: facts, pictures, comparison."""
