#!/bin/sh
# A build phase: puts the bundle that `python -m pipeline.run --target coreml --app ios` has left in model/, and the
# samples that all apps share, into the app. Without a bundle the app builds, says that it has none, and can still
# be benchmarked.
set -eu
app="$TARGET_BUILD_DIR/$UNLOCALIZED_RESOURCES_FOLDER_PATH"
rm -rf "$app/model"
if [ -d "$SRCROOT/model" ]; then
  cp -R "$SRCROOT/model" "$app/model"
else
  echo "warning: no model; run: python -m pipeline.run --target coreml --app ios"
fi
cp "$SRCROOT/../../samples.json" "$app/samples.json"
