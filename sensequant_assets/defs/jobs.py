"""Jobs: what can be launched by name."""

import dagster as dg

MARKET = dg.define_asset_job(
    "market", selection=dg.AssetSelection.assets("bars", "features"), description="Bars and features by symbol."
)
TRAINING = dg.define_asset_job(
    "training",
    selection=dg.AssetSelection.assets("teacher_models", "student_models"),
    description="Teachers, the check of their failure rate, then students.",
)
PREDICTION = dg.define_asset_job(
    "prediction",
    selection=dg.AssetSelection.assets("predictions", "outcomes", "monitoring"),
    description="What the champion says of the newest bars of a date, what came of earlier ones, and whether the "
    "champion still is what it was promoted for.",
)
EVALUATION = dg.define_asset_job(
    "evaluation",
    selection=dg.AssetSelection.assets("walk_forward"),
    description="Models of a window on the window after it, with intervals and baselines.",
)
BACKTESTING = dg.define_asset_job(
    "backtesting",
    selection=dg.AssetSelection.assets("backtest"),
    description="The walk-forward predictions of a batch as a portfolio beside its universe, net of costs.",
)
PROMOTION = dg.define_asset_job(
    "promotion",
    selection=dg.AssetSelection.assets("champions"),
    description="Lets the students of a batch serve if they show enough, or brings an earlier version back.",
)
