"""The code location that `workspace.yaml` names: the market of the environment, else that of the last batch."""

from sensequant_assets.defs.location import build_definitions
from sensequant_assets.settings import read_settings, read_student, read_teacher

defs = build_definitions(read_settings(remembered=True), read_teacher(), read_student())
