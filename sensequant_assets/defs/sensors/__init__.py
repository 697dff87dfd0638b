"""The sensors; all are off until they are switched on."""
