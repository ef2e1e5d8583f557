"""Android: the real adb, what a device says of itself, the sample app."""
