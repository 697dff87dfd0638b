"""The thin Dagster layer: partitions, resources, assets, checks, jobs and sensors."""
