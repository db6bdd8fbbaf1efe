// Threads that wait for work, spinning for no more than a moment.
#pragma once
#include <functional>

namespace splat {
// Runs task(0) .. task(count - 1) on up to `threads` threads, the caller's among them; returns when all are done.
// Which thread runs which task is open, so tasks must not depend on it.
void run_tasks(int threads, int count, const std::function<void(int)> &task);
}  // namespace splat
