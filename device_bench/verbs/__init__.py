"""One file a verb of python -m device_bench."""
