#include "cpu/pool.h"

#include <pthread.h>
#include <signal.h>

#include <cstdio>
#include <system_error>

#include "common/status.h"

namespace qw {
namespace {

// A pause is 40 to 140 cycles, so this is 20 to 100 microseconds.
constexpr int kSpins = 2000;

void pause() { __builtin_ia32_pause(); }

// Signals of the virtual machine go to its own threads.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace

Pool::Pool(int threads) {
  const unsigned processors = std::thread::hardware_concurrency();
  // Spinning only takes time from others where there are more threads than processors.
  spins_ = processors == 0 || static_cast<unsigned>(threads) <= processors ? kSpins : 0;
  SignalsBlocked blocked;
  try {
    workers_.reserve(static_cast<size_t>(threads - 1));
    for (int i = 1; i < threads; i++) workers_.emplace_back([this, i] { serve(i); });
  } catch (const std::exception& e) {
    stop();
    throw Failure(kOutOfMemory, std::string("cannot start a compute thread: ") + e.what());
  }
}

Pool::~Pool() { stop(); }

void Pool::stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_.store(true);
  }
  job_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

void Pool::serve(int worker) {
  char name[16];
  snprintf(name, sizeof name, "qwen4j-%d", worker);
  pthread_setname_np(pthread_self(), name);
  uint32_t seen = 0;
  while (true) {
    wait_for_job(seen);
    if (stopping_.load()) return;
    seen = generation_.load();
    // Sequentially consistent with the caller's `open_ = false; read active_`: either the caller sees this worker and waits for it, or
    // the worker sees that the job is closed and does not touch it.
    active_.fetch_add(1);
    if (open_.load()) take(worker);
    if (active_.fetch_sub(1) == 1 && caller_sleeps_.load()) {
      std::lock_guard<std::mutex> lock(mutex_);
      done_.notify_one();
    }
  }
}

void Pool::take(int worker) {
  for (int64_t piece = next_.fetch_add(1); piece < pieces_; piece = next_.fetch_add(1)) {
    try {
      work_(context_, piece, worker);
    } catch (...) {
      failed_.store(true);
    }
  }
}

void Pool::wait_for_job(uint32_t seen) {
  for (int i = 0; i < spins_; i++) {
    if (generation_.load() != seen || stopping_.load(std::memory_order_relaxed)) return;
    pause();
  }
  std::unique_lock<std::mutex> lock(mutex_);
  sleeping_.fetch_add(1);
  job_.wait(lock, [&] { return generation_.load() != seen || stopping_.load(); });
  sleeping_.fetch_sub(1);
}

void Pool::wait_for_workers() {
  for (int i = 0; i < spins_; i++) {
    if (active_.load() == 0) return;
    pause();
  }
  std::unique_lock<std::mutex> lock(mutex_);
  caller_sleeps_.store(true);
  done_.wait(lock, [&] { return active_.load() == 0; });
  caller_sleeps_.store(false);
}

void Pool::run(int64_t pieces, Work work, void* context) {
  if (pieces <= 0) return;
  std::lock_guard<std::mutex> caller(callers_);
  work_ = work;
  context_ = context;
  pieces_ = pieces;
  failed_.store(false);
  next_.store(0);
  const bool alone = workers_.empty() || pieces == 1;
  if (!alone) {
    open_.store(true);
    generation_.fetch_add(1);
    if (sleeping_.load() > 0) {
      std::lock_guard<std::mutex> lock(mutex_);
      job_.notify_all();
    }
  }
  take(0);
  if (!alone) {
    open_.store(false);
    wait_for_workers();
  }
  if (failed_.load()) throw Failure(kInternal, "a piece of work failed");
}

}  // namespace qw
