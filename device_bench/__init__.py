"""Timing that can be believed: paired runs, raw samples kept, ratios with intervals."""
