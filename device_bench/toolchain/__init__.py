"""What measuring on arm64 needs, in the cache folder: nothing here touches the system."""
