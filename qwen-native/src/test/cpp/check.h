// Counts and prints failed expectations; a test program returns the count as its exit status (at most 1).
#pragma once

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace qw::test {

class Checks {
 public:
  // Prints the first failures in full and only counts the rest: one wrong kernel fails thousands of cases.
  __attribute__((format(printf, 3, 4))) bool expect(bool ok, const char* format, ...) {
    done_++;
    if (ok) return true;
    if (failed_++ < 20) {
      va_list args;
      va_start(args, format);
      vfprintf(stderr, format, args);
      va_end(args);
      fputc('\n', stderr);
    }
    return false;
  }
  int finish(const char* name) const {
    printf("%s: %ld checks, %ld failed\n", name, done_, failed_);
    return done_ == 0 || failed_ > 0 ? 1 : 0;
  }

 private:
  long done_ = 0, failed_ = 0;
};

// What programs that run on cards take: "small" leaves only small shapes, for tools under which a kernel takes a thousand times longer, and
// a number seeds what is random.
struct DeviceTestArguments {
  DeviceTestArguments(int count, char** arguments) {
    for (int i = 1; i < count; i++) {
      if (strcmp(arguments[i], "small") == 0) small = true;
      if (arguments[i][0] >= '0' && arguments[i][0] <= '9') seed = strtoul(arguments[i], nullptr, 10);
    }
  }
  bool small = false;
  unsigned long seed = 0;  // 0: none was given
};

}  // namespace qw::test
