"""Programs for phones: one file a runtime, named after its target."""
