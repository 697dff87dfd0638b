"""The pure part: bars to features, labels, splits, teachers and students. No Dagster, clock or environment."""
