"""The sensors: one trains what changed, and is off until it is switched on; three watch batches, and are on."""
