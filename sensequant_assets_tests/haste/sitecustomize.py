"""Python runs this at its start where this directory is on `PYTHONPATH`; in Dagster's daemon it shortens two waits.

The daemon looks at backfills and at sensors every 5 seconds, which no setting of Dagster changes. A test would
spend most of its time on them, and none is about how soon Dagster looks.
"""

import sys

if sys.orig_argv[1:3] == ["-m", "dagster._daemon"]:
    from dagster._daemon import controller, sensor

    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 2
    sensor.MIN_INTERVAL_LOOP_TIME = 1
