"""Apple: Xcode's tools, the sample app, Core ML on a Mac."""
