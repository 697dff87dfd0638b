"""Each file here is loaded with the market: assets, checks, sensors, schedules."""
