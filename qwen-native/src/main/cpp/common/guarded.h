// The edge of a C interface: failures become a status and a message that is kept for each thread.
#pragma once

#include <algorithm>
#include <cstring>
#include <new>

#include "common/object.h"
#include "common/status.h"

namespace qw {

struct LastError {
  char message[256];
  int64_t bytes;
  int64_t available;
};
inline LastError& last_error() {
  thread_local LastError error;
  return error;
}

inline int32_t keep(Status status, const char* message, int64_t bytes = 0, int64_t available = -1) {
  LastError& error = last_error();
  strncpy(error.message, message, sizeof error.message - 1);
  error.bytes = bytes;
  error.available = available;
  return status;
}

inline int32_t copy(const char* text, int8_t* buffer, int64_t capacity) {
  if (buffer == nullptr || capacity < 0) return 0;
  const size_t length = std::min(strlen(text), static_cast<size_t>(capacity));
  memcpy(buffer, text, length);
  return static_cast<int32_t>(length);
}

template <class Fn>
int32_t guarded(Fn fn) noexcept {
  try {
    fn();
    return kOk;
  } catch (const Failure& e) {
    return keep(e.status(), e.what(), e.bytes(), e.available());
  } catch (const std::bad_alloc&) {
    return keep(kOutOfMemory, "no native heap");
  } catch (const std::exception& e) {
    return keep(kInternal, e.what());
  } catch (...) {
    return keep(kInternal, "unknown failure");
  }
}

template <class Fn>
int64_t guarded_value(Fn fn) noexcept {
  int64_t value = 0;
  const int32_t status = guarded([&] { value = fn(); });
  return status == kOk ? value : -status;
}

inline int64_t handle(Object* object) { return reinterpret_cast<int64_t>(object); }

template <class T>
void release(int64_t handle) noexcept {
  guarded([&] { delete &object<T>(handle); });
}

}  // namespace qw
