"""What an operator watches: progress, failures, new bars, verdicts, retries, stalls. Pure decisions and plain facts."""
