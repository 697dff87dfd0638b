"""What predictions are worth. It stands outside the code fingerprint: a new metric retrains no model."""
