"""Models on disk, and the devices they are trained on."""
