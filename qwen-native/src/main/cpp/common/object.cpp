#include "common/object.h"

#include <atomic>

namespace qw {
namespace {

std::atomic<int64_t> objects{0};

}  // namespace

Object::Object(Kind k) : kind(k) { objects.fetch_add(1); }
Object::~Object() {
  kind = 0;
  uncount();
}

void Object::uncount() {
  if (counted_) objects.fetch_sub(1);
  counted_ = false;
}

int64_t live_objects() { return objects.load(); }

}  // namespace qw
