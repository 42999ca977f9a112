// The thread pool: every piece once, failures reported, sleeping and waking, several callers. Meant to run under the thread sanitizer too.
#include <chrono>
#include <memory>

#include "check.h"
#include "common/status.h"
#include "cpu/pool.h"

namespace qw::test {
namespace {

Checks checks;

void every_piece_once(int threads, int64_t pieces) {
  Pool pool(threads);
  std::unique_ptr<std::atomic<int>[]> taken(new std::atomic<int>[static_cast<size_t>(pieces) + 1]());
  for (int round = 1; round <= 20; round++) {
    pool.each(pieces, [&](int64_t i, int worker) {
      if (worker < 0 || worker >= threads) taken[static_cast<size_t>(pieces)]++;
      taken[static_cast<size_t>(i)]++;
    });
    int64_t wrong = 0;
    for (int64_t i = 0; i < pieces; i++) wrong += taken[static_cast<size_t>(i)] != round;
    checks.expect(wrong == 0, "%d threads: %ld of %ld pieces not taken once", threads, static_cast<long>(wrong), static_cast<long>(pieces));
  }
  checks.expect(taken[static_cast<size_t>(pieces)] == 0, "%d threads: a worker number is out of range", threads);
}

void failures_are_reported() {
  Pool pool(3);
  for (int round = 0; round < 10; round++) {
    bool failed = false;
    try {
      pool.each(50, [&](int64_t i, int) {
        if (i == 17) throw 1;
      });
    } catch (const Failure& e) {
      failed = e.status() == kInternal;
    }
    checks.expect(failed, "the failure of a piece is not reported");
    std::atomic<int> sum{0};
    pool.each(50, [&](int64_t, int) { sum++; });
    checks.expect(sum == 50, "the pool does not work after a failure");
  }
}

void sleepers_wake() {
  Pool pool(4);
  for (int round = 0; round < 20; round++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::atomic<int> sum{0};
    pool.each(100, [&](int64_t, int) { sum++; });
    checks.expect(sum == 100, "pieces are lost when workers sleep");
  }
}

void several_callers() {
  Pool pool(2);
  std::atomic<int> sum{0};
  std::thread callers[3];
  for (std::thread& caller : callers) {
    caller = std::thread([&] {
      for (int i = 0; i < 200; i++) pool.each(5, [&](int64_t, int) { sum++; });
    });
  }
  for (std::thread& caller : callers) caller.join();
  checks.expect(sum == 3000, "%d pieces of 3000 with several callers", sum.load());
}

}  // namespace
}  // namespace qw::test

int main() {
  using namespace qw::test;
  for (int threads : {1, 2, 3, 16}) {
    for (int64_t pieces : {1, 2, 7, 1000}) every_piece_once(threads, pieces);
  }
  failures_are_reported();
  sleepers_wake();
  several_callers();
  return checks.finish("pool_test");
}
