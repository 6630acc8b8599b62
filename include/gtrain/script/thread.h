// How many threads the operators of libgtrain_ops use in a process that is not gtrain's: as many as
// torch.get_num_threads() gives the caller, or GTRAIN_THREADS where the environment has it. They
// are oneTBB's, not OpenMP's; results have the same bits for any number.
#pragma once

#include <functional>

namespace gtrain::script {

// At least 1, at most as many as there are processors for this process.
int threads();

// Runs `body` where parallel loops use at most threads() threads, the calling one among them. Each
// calling thread has an arena of its own, so that callers do not wait for each other.
void run(const std::function<void()>& body);

}  // namespace gtrain::script
