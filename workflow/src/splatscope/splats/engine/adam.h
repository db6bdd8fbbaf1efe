// Adam (Kingma & Ba 2015) on rows of values: the first `head` columns of a row at one learning rate, the columns from
// there to `active` at another and with decoupled weight decay (Loshchilov & Hutter 2019), the rest not at all. Rows that
// were not seen keep their moments and stay where they are.
#pragma once

static void adam_rows(const AdamTask &task, int64_t begin, int64_t end) {
  const float b1 = task.beta1, b2 = task.beta2, epsilon = task.epsilon;
  const float root_correction = 1 / __builtin_sqrtf(task.correction2);
  if (task.head == task.row && !task.seen) {
    const float rate = task.rate / task.correction1;
#pragma GCC ivdep
    for (int64_t i = begin * task.row; i < end * task.row; i++) {
      const float g = task.gradient[i];
      const float m = task.first[i] = b1 * task.first[i] + (1 - b1) * g;
      const float v = task.second[i] = b2 * task.second[i] + (1 - b2) * g * g;
      task.value[i] -= rate * m / (__builtin_sqrtf(v) * root_correction + epsilon);
    }
    return;
  }
  float rates[64], keeps[64];
  for (int k = 0; k < task.active; k++) {
    rates[k] = (k < task.head ? task.rate : task.tail_rate) / task.correction1;
    keeps[k] = k < task.head ? 1 : 1 - task.tail_decay;
  }
  for (int64_t row = begin; row < end; row++) {
    if (task.seen && !task.seen[row]) continue;
    const int64_t offset = row * task.row;
    float *value = task.value + offset, *first = task.first + offset, *second = task.second + offset;
    const float *gradient = task.gradient + offset;
#pragma GCC ivdep
    for (int k = 0; k < task.active; k++) {
      const float g = gradient[k];
      const float m = first[k] = b1 * first[k] + (1 - b1) * g;
      const float v = second[k] = b2 * second[k] + (1 - b2) * g * g;
      value[k] = value[k] * keeps[k] - rates[k] * m / (__builtin_sqrtf(v) * root_correction + epsilon);
    }
  }
}
