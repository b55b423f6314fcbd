"""Algorithms: functions on images that declare what they take and give, run in a worker process with limits."""
