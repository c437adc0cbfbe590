# Every third-party package, found in one place. All come from the
# distribution; README.md says why each is there.

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(absl REQUIRED)
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(RocksDB REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(OPENBLAS REQUIRED IMPORTED_TARGET openblas)
if(PARAMO_BUILD_TESTS)
  find_package(GTest REQUIRED)
  find_package(benchmark REQUIRED)
endif()

# For client/python, which is left out without them. scikit-build-core brings a
# Python and a pybind11 of its own; otherwise it is the distribution's Python,
# which has the distribution's NumPy: the first python3 on PATH may be another.
if(NOT SKBUILD AND NOT DEFINED Python_EXECUTABLE AND EXISTS /usr/bin/python3)
  set(Python_EXECUTABLE /usr/bin/python3)
endif()
find_package(Python COMPONENTS Interpreter Development.Module QUIET)
find_package(pybind11 CONFIG QUIET)
set(PARAMO_PYTHON OFF)
if(Python_FOUND AND pybind11_FOUND)
  execute_process(COMMAND ${Python_EXECUTABLE} -c "import numpy"
    RESULT_VARIABLE numpy_missing OUTPUT_QUIET ERROR_QUIET)
  if(SKBUILD OR NOT numpy_missing)
    set(PARAMO_PYTHON ON)
  endif()
endif()

find_program(PARAMO_PROTOC protoc REQUIRED)
find_program(PARAMO_GRPC_PLUGIN grpc_cpp_plugin REQUIRED)
