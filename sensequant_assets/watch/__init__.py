"""What an operator watches: progress, failures, new bars, verdicts, retries, stalls. Pure decisions and plain facts.

What is decided is a pure function of what was found and of the time; the sensors find, act and tell.
"""
