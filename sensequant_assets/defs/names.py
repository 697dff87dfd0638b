"""Names that Dagster keeps: assets, checks, tags, dimensions and pools."""

from sensequant_assets.core.parameters import ModelKind

BACKFILL_TAG = "dagster/backfill"
DIED_TAG, REPEATS_TAG = "sensequant/died", "sensequant/repeats"
"""On a run whose process is gone; on the run that repeats it, with its id."""

CHECK, NOT_CONSTANT, NO_LEAK = "max_failure_rate", "not_constant", "no_leak"
SOUND, CANARIES, STRESS = "sound", "canaries", "stress"
ASSETS: dict[ModelKind, str] = {"teacher": "teacher_models", "student": "student_models"}
JUDGING_GROUP, WALK_FORWARD, BACKTEST = "judging", "walk_forward", "backtest"
SERVING_GROUP, CHAMPIONS = "serving", "champions"
PREDICTIONS, OUTCOMES, MONITORING = "predictions", "outcomes", "monitoring"
POOLS, SHARED_STUDENTS = "pooled_teachers", "shared_students"
COMMAND_LINE = "cli"
LOCATION, REPOSITORY = "sensequant_assets", "__repository__"
"""The code location as `workspace.yaml` calls it, and Dagster what any `Definitions` define."""

BATCH_TAG, SOURCE_TAG, ATTEMPT_TAG = "sensequant/batch", "sensequant/source", "sensequant/attempt"
CPU_POOL = "sensequant_cpu"

SYMBOL, BLOCK, WINDOW = "symbol", "block", "window"
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
