// PARAMO_CHECK is for our own bugs only: never on anything a peer, a disk, a
// user or a GPU can cause (those are a Status). It prints where and why, and
// stops the process before a broken invariant reaches a row.
#pragma once

namespace paramo {

[[noreturn]] void CrashOnFailedCheck(const char* file, int line,
                                     const char* condition);

}  // namespace paramo

#define PARAMO_CHECK(condition)                                     \
  do {                                                              \
    if (!(condition)) [[unlikely]]                                  \
      ::paramo::CrashOnFailedCheck(__FILE__, __LINE__, #condition); \
  } while (false)

// Checks on paths too hot for release builds.
#ifdef NDEBUG
#define PARAMO_DCHECK(condition) \
  do {                           \
  } while (false)
#else
#define PARAMO_DCHECK(condition) PARAMO_CHECK(condition)
#endif
