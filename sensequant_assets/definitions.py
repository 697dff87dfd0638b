"""The code location that `workspace.yaml` names: the market of the environment, else that of the last batch.

In a project of `dg`, as `sensequant init` makes one, what stands below `own/defs` is loaded beside it.
"""

from pathlib import Path

import dagster as dg

from sensequant_assets.defs.location import build_definitions
from sensequant_assets.settings import read_settings, read_student, read_teacher

defs = build_definitions(read_settings(remembered=True), read_teacher(), read_student())
if Path("own/defs").is_dir() and Path("pyproject.toml").is_file():
    defs = dg.Definitions.merge(defs, dg.load_from_defs_folder(path_within_project=Path.cwd()))
