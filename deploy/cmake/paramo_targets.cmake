# paramo_library(common/base SOURCES a.cc DEPS paramo::x PRIVATE_DEPS y [COLD])
#   The library of one directory: target paramo_common_base, alias
#   paramo::common_base. A directory without sources becomes an interface.
#   COLD: it runs seldom, so it is compiled with PARAMO_QUICK_OPTIONS.
# paramo_binary(paramo-server SOURCES server_main.cc DEPS ...)
# paramo_test(common_base SOURCES ... DEPS ... LABELS unit [ARGS ...])
#   One GoogleTest executable; every TEST in it becomes a CTest test, or, with
#   WHOLE, all together one: for tests that share something dear to start.
#   Built by the target `tests`, not by `all`, and with PARAMO_QUICK_OPTIONS; what
#   is tested is built as ever.

# Headers that nearly every file parses; compiled once for the whole tree.
set(PARAMO_PCH_HEADERS
    <algorithm> <array> <atomic> <cstdint> <cstring> <functional> <memory>
    <mutex> <optional> <string> <string_view> <thread> <unordered_map>
    <utility> <vector>
    <absl/container/flat_hash_map.h> <absl/status/statusor.h>
    <absl/strings/str_cat.h> <absl/strings/str_format.h> <absl/time/time.h>
    <absl/types/span.h>)

# In a release, a quarter less time to compile. Not for the data path, nor what it
# leans on: the linker keeps one copy of an inline function, and it might be this.
set(PARAMO_QUICK_OPTIONS $<$<CONFIG:Release>:-O1>)

function(_paramo_pch target owner)
  if(PARAMO_PCH AND NOT PARAMO_SANITIZE)
    target_precompile_headers(${target} REUSE_FROM ${owner})
    # The header was compiled as a library is (-fPIC); an executable's -fPIE
    # would make the compiler ignore it.
    target_compile_options(${target} PRIVATE -fPIC)
  endif()
endfunction()

# Compiled with the options of those that use it.
function(_paramo_make_pch_owner name)
  if(PARAMO_PCH AND NOT PARAMO_SANITIZE AND NOT TARGET ${name})
    # Written when it differs: a newer file would be compiled, and all after it.
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/${name}.cc
      CONTENT "// Owns the precompiled header.\n")
    add_library(${name} OBJECT ${PROJECT_BINARY_DIR}/${name}.cc)
    target_link_libraries(${name} PRIVATE Threads::Threads)
    if(NOT name STREQUAL paramo_pch)
      target_compile_options(${name} PRIVATE ${PARAMO_QUICK_OPTIONS})
    endif()
    if(name STREQUAL paramo_test_pch)
      target_link_libraries(${name} PRIVATE GTest::gtest)  # its definitions
      set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL ON)
    endif()
    target_precompile_headers(${name} PRIVATE ${PARAMO_PCH_HEADERS} ${ARGN})
  endif()
endfunction()

function(paramo_library dir)
  cmake_parse_arguments(ARG "COLD" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  string(REPLACE "/" "_" name ${dir})
  if(ARG_SOURCES)
    add_library(paramo_${name} STATIC ${ARG_SOURCES})
    target_include_directories(paramo_${name} PUBLIC ${PROJECT_SOURCE_DIR})
    target_link_libraries(paramo_${name}
      PUBLIC ${ARG_DEPS} Threads::Threads PRIVATE ${ARG_PRIVATE_DEPS})
    set(pch paramo_pch)
    if(ARG_COLD)
      set(pch paramo_cold_pch)
      target_compile_options(paramo_${name} PRIVATE ${PARAMO_QUICK_OPTIONS})
    endif()
    _paramo_make_pch_owner(${pch})
    _paramo_pch(paramo_${name} ${pch})
  else()
    add_library(paramo_${name} INTERFACE)
    target_include_directories(paramo_${name} INTERFACE ${PROJECT_SOURCE_DIR})
    target_link_libraries(paramo_${name} INTERFACE ${ARG_DEPS})
  endif()
  add_library(paramo::${name} ALIAS paramo_${name})
endfunction()

function(paramo_binary name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  _paramo_make_pch_owner(paramo_pch)
  _paramo_pch(${name} paramo_pch)
endfunction()

function(paramo_test name)
  cmake_parse_arguments(ARG "WHOLE" "TIMEOUT" "SOURCES;DEPS;LABELS;DEFINES" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name}_test EXCLUDE_FROM_ALL ${ARG_SOURCES})
  add_dependencies(tests ${name}_test)
  target_include_directories(${name}_test PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name}_test PRIVATE ${ARG_DEPS} paramo_test_main Threads::Threads)
  _paramo_make_pch_owner(paramo_test_pch <gtest/gtest.h> <gmock/gmock.h>)
  _paramo_pch(${name}_test paramo_test_pch)
  target_compile_options(${name}_test PRIVATE ${PARAMO_QUICK_OPTIONS})
  target_compile_definitions(${name}_test PRIVATE
    PARAMO_SOURCE_DIR="${PROJECT_SOURCE_DIR}" PARAMO_BINARY_DIR="${PROJECT_BINARY_DIR}/bin" ${ARG_DEFINES})
  if(ARG_WHOLE)
    add_test(NAME ${name}.All COMMAND ${name}_test)
    set_tests_properties(${name}.All PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
    return()
  endif()
  include(GoogleTest)
  gtest_discover_tests(${name}_test
    TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60 NO_PRETTY_VALUES
    PROPERTIES TIMEOUT ${ARG_TIMEOUT})
  # Above, a list of labels would be read as more properties.
  set(labels ${CMAKE_CURRENT_BINARY_DIR}/${name}_labels.cmake)
  file(CONFIGURE OUTPUT ${labels} @ONLY CONTENT [=[
foreach(test IN LISTS @name@_test_TESTS)
  set_tests_properties(${test} PROPERTIES LABELS "@ARG_LABELS@")
endforeach()
]=])
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${labels})
endfunction()
