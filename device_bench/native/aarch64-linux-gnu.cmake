# Debian's cross compiler, unpacked below TOOLS instead of /: -DTOOLS=FOLDER.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
# Compiler checks configure small projects of their own, which need to know it too.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES TOOLS)
set(CMAKE_SYSROOT "${TOOLS}")
set(CMAKE_C_COMPILER "${TOOLS}/usr/bin/aarch64-linux-gnu-gcc")
set(CMAKE_CXX_COMPILER "${TOOLS}/usr/bin/aarch64-linux-gnu-g++")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
