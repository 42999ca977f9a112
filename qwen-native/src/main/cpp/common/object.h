// What Java holds handles of. A handle is an object's address; `kind` catches a handle of the wrong sort, Java guards their lifetime.
#pragma once

#include <cstdint>

#include "common/status.h"

namespace qw {

enum Kind : uint32_t { kBackend = 0x51770001, kWeight, kBuffer, kKvCache, kArena, kStaging };

struct Object {
  explicit Object(Kind k);
  ~Object();
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  // Not counted as live any more, while the object itself stays.
  void uncount();
  uint32_t kind;

 private:
  bool counted_ = true;
};

// Objects that were not freed, for leak tests.
int64_t live_objects();

// An array of integers that host and backend both see.
struct IntArray {
  int32_t* data;
  int64_t size;
};

template <class T>
T& object(int64_t handle) {
  Object* found = reinterpret_cast<Object*>(handle);
  if (found == nullptr || handle % alignof(T) != 0 || found->kind != T::kKind) throw Failure(kInvalidArgument, "no handle of this kind");
  return *static_cast<T*>(found);
}

template <class T>
T* object_or_null(int64_t handle) {
  return handle == 0 ? nullptr : &object<T>(handle);
}

}  // namespace qw
