"""Benchmarks that can be believed: timers, protocol, statistics, environment, suites, reports, comparison.

The protocol is written down in `benchmarks/README.md`. In one paragraph: variants that are compared run interleaved in
one process, after a warm-up that lasts until their medians settle; every sample is kept; nothing but the measured call
runs between the two clock readings; the machine describes itself before and after.
"""
