#include "pool.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace splat {
namespace {

constexpr int kSpinMicroseconds = 50;

class Pool {
 public:
  ~Pool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (auto &worker : workers_) worker.join();
  }

  void run(int threads, int count, const std::function<void(int)> &task) {
    while ((int)workers_.size() < threads - 1) {
      const int index = (int)workers_.size();
      workers_.emplace_back([this, index, seen = round_] { work(index, seen); });
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      task_ = &task, count_ = count, next_ = 0, helpers_ = threads - 1, busy_ = threads - 1;
      round_++;
    }
    announced_.store(round_, std::memory_order_release);
    wake_.notify_all();
    take_tasks();
    spin([this] { return busy_.load(std::memory_order_acquire) == 0; });
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  // The steps of a frame follow each other at once: a thread that looks for a moment is there, one that sleeps wakes late.
  template <typename Ready>
  static void spin(Ready ready) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(kSpinMicroseconds);
    while (!ready() && std::chrono::steady_clock::now() < until) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
  }

  void take_tasks() {
    for (int i; (i = next_++) < count_;) (*task_)(i);
  }
  void work(int index, unsigned seen) {
    for (;;) {
      spin([&] { return announced_.load(std::memory_order_acquire) != seen; });
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || round_ != seen; });
      if (stopping_) return;
      seen = round_;
      if (index >= helpers_) continue;
      lock.unlock();
      take_tasks();
      lock.lock();
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::function<void(int)> *task_ = nullptr;
  std::atomic<int> next_{0}, busy_{0};
  std::atomic<unsigned> announced_{0};  // round_, for those who look without the lock
  int count_ = 0, helpers_ = 0;
  unsigned round_ = 0;
  bool stopping_ = false;
};

std::mutex pool_mutex;
Pool *pool = nullptr;  // never destroyed: at exit its threads may already be gone
pid_t pool_process = 0;

}  // namespace

void run_tasks(int threads, int count, const std::function<void(int)> &task) {
  if (threads > count) threads = count;
  // a second Python thread that draws at the same time does so alone
  std::unique_lock<std::mutex> lock(pool_mutex, std::defer_lock);
  if (threads <= 1 || !lock.try_lock()) {
    for (int i = 0; i < count; i++) task(i);
    return;
  }
  if (pool_process != getpid()) {  // the threads did not survive a fork
    pool = new Pool;
    pool_process = getpid();
  }
  pool->run(threads, count, task);
}

}  // namespace splat
