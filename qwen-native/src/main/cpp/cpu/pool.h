// Worker threads for one backend. The calling thread works too, so `threads` = 1 starts none.
//
// A job is a number of pieces, taken one by one from a counter: a thread that loses its processor for a while costs its piece and not
// its share. Between jobs workers spin for some tens of microseconds (the engine's next operation follows within a few) and then sleep.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace qw {

class Pool {
 public:
  // May throw Failure(kOutOfMemory) when a thread cannot be started.
  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // work(context, piece, worker) for the pieces 0 .. pieces - 1; worker is 0 .. threads() - 1. One caller at a time, others wait.
  using Work = void (*)(void* context, int64_t piece, int worker);
  void run(int64_t pieces, Work work, void* context);

  // The same for a callable; no memory is taken.
  template <class Fn>
  void each(int64_t pieces, Fn fn) {
    run(pieces, [](void* context, int64_t piece, int worker) { (*static_cast<Fn*>(context))(piece, worker); }, &fn);
  }

 private:
  void serve(int worker);
  void take(int worker);
  void wait_for_job(uint32_t seen);
  void wait_for_workers();
  void stop();

  std::mutex callers_;
  std::vector<std::thread> workers_;
  int spins_ = 0;

  // The job. Written by the caller while open_ is false and nobody is active.
  Work work_ = nullptr;
  void* context_ = nullptr;
  int64_t pieces_ = 0;
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<uint32_t> generation_{0};
  std::atomic<bool> open_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};
  alignas(64) std::atomic<int> active_{0};
  std::atomic<int> sleeping_{0};
  std::atomic<bool> caller_sleeps_{false};
  std::mutex mutex_;
  std::condition_variable job_;
  std::condition_variable done_;
};

}  // namespace qw
