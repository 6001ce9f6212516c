"""Running a network: stop rules, recording, results, steering, progress and Ctrl-C."""
