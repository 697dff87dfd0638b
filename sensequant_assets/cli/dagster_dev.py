"""`dagster dev` as `sensequant dev` starts it: it says nothing that concerns only those who type `dagster dev`.

That is that `dg dev` takes its place, and that it passes over the `dagster.yaml` of the directory, which is for those
who set no `DAGSTER_HOME`.
"""

import logging
import runpy
import warnings


def _concerns_us(record: logging.LogRecord) -> bool:
    return "dagster instance configuration value" not in record.getMessage()


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message="Function `dev_command` is superseded")
    logging.getLogger("dagster").addFilter(_concerns_us)
    runpy.run_module("dagster", run_name="__main__", alter_sys=True)
