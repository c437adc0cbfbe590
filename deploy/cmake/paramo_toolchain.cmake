# Language level, warnings, and the flags that replicas' bit-identity rests on.

option(PARAMO_BUILD_TESTS "Build tests, test tools and benchmarks" ON)
option(PARAMO_PCH "Use precompiled headers" ON)
option(PARAMO_WERROR "Treat warnings as errors" OFF)
option(PARAMO_FUZZ "Build tests/fuzz with libFuzzer (clang only)" OFF)
set(PARAMO_SANITIZE "" CACHE STRING "Sanitizers to build with: address,undefined or thread")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

# -pthread for every file: protobuf's target adds it, and a precompiled header
# made without it would not be used.
add_compile_options(-Wall -Wextra -fno-omit-frame-pointer -pthread)
if(PARAMO_WERROR)
  add_compile_options(-Werror)
endif()

# Rows must come out bit-identical on every replica, so the compiler may not
# fuse a*b+c on its own (-ffp-contract=off), and every rule uses an explicit
# fused multiply-add, which x86-64-v3 guarantees (AVX2 + FMA). Binaries check
# the processor at start (common/base/cpu.h).
add_compile_options(-ffp-contract=off)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  add_compile_options(-march=x86-64-v3)
endif()

if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  add_compile_options(-Wthread-safety -Werror=thread-safety)
endif()

if(PARAMO_SANITIZE)
  add_compile_options(-fsanitize=${PARAMO_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${PARAMO_SANITIZE})
endif()

if(PARAMO_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

find_program(PARAMO_CCACHE ccache)
if(PARAMO_CCACHE)
  # The sloppiness is what lets ccache work together with precompiled headers.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      ${PARAMO_CCACHE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-fpch-preprocess)
  endif()
endif()
