// What libgtrain_ops.so registers with torch when a process loads it, under torch.ops.gtrain:
//
//   torch.ops.load_library("libgtrain_ops.so")   and modules of `gtrain export --fused` run
//
// Every operator runs on the CPU, on threads() threads (script/thread.h), and gives what the model
// gives in evaluation; a derivative is refused. Meta and CUDA tensors are refused by name. The
// library wants the libtorch that it was built with: the process is told on loading where the
// releases differ (base/torch_release.h), and the operators then refuse to run.
#pragma once

#include <string>
#include <vector>

namespace gtrain::script {

// "gtrain::linear(Tensor x, Tensor weight, Tensor? bias, str activation) -> Tensor", …
const std::vector<std::string>& schemas();

}  // namespace gtrain::script
