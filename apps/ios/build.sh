#!/bin/sh
# Builds the app without Xcode's window:
#   apps/ios/build.sh simulator FOLDER    for simulators, not signed
#   apps/ios/build.sh device FOLDER       for a phone, signed with the team in TEAM (ten characters)
# Pocket.app is put into FOLDER. Needs Xcode 16 or later.
set -eu

usage() {
  echo "usage: apps/ios/build.sh simulator|device FOLDER" >&2
  exit 2
}
[ $# -eq 2 ] || usage

case $1 in
  simulator)
    platform="iOS Simulator" products=Release-iphonesimulator
    set -- "$2" CODE_SIGNING_ALLOWED=NO
    ;;
  device)
    if [ -z "${TEAM:-}" ]; then
      echo "give your developer team: TEAM=ABCDE12345 apps/ios/build.sh device FOLDER" >&2
      exit 2
    fi
    platform=iOS products=Release-iphoneos
    set -- "$2" -allowProvisioningUpdates "DEVELOPMENT_TEAM=$TEAM"
    ;;
  *) usage ;;
esac
folder=$1
shift

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder"
xcodebuild -quiet -project "$here/App/Pocket.xcodeproj" -scheme Pocket -configuration Release \
  -destination "generic/platform=$platform" -derivedDataPath "$here/.build/xcode" "$@" build
rm -rf "$folder/Pocket.app"
cp -R "$here/.build/xcode/Build/Products/$products/Pocket.app" "$folder/Pocket.app"
