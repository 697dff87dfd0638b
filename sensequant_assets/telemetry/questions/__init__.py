"""What is asked of telemetry, all of it in SQL, by what it is about.

Each function takes the store and answers in plain rows or small objects. What several of them answer from one state of
the database is asked in one `TelemetryStore.session`.
"""
