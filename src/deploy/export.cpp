#include "gtrain/deploy/export.h"

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <new>
#include <sstream>
#include <string>
#include <string_view>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/deploy/archive.h"
#include "gtrain/deploy/description.h"
#include "gtrain/deploy/freeze.h"

namespace gtrain::deploy {
namespace {

namespace fs = std::filesystem;

// Integers stay: they count, or name rows.
template <class Tensors>
void to_bfloat16(const Tensors& tensors) {
  for (at::Tensor t : tensors) {
    if (t.is_floating_point()) t.set_data(t.to(at::kBFloat16));
  }
}

std::string archive_of(models::Model& model, const ExportSpec& spec) {
  torch::jit::Module module = script_module(model, spec);
  if (spec.dtype == "bfloat16") {
    module = module.deepcopy();  // the model keeps its own weights
    to_bfloat16(module.parameters());
    to_bfloat16(module.buffers());
  }
  if (spec.frozen) module = frozen(module);
  std::ostringstream out;
  module.save(out, {{"gtrain.json", description(model, spec)}});
  return seal(std::move(out).str());
}

// Before the work: what would fail at its end.
void check_target(const fs::path& path) {
  std::error_code error;
  const fs::path directory = path.has_parent_path() ? path.parent_path() : fs::path(".");
  if (!fs::is_directory(directory, error)) {
    throw base::ResourceError(
        fmt::format("{}: there is no directory {}", path.string(), directory.string()));
  }
  if (fs::is_directory(path, error)) {
    throw base::ResourceError(
        fmt::format("{}: is a directory; expected a file to write", path.string()));
  }
}

// Of torch's many lines the last says what happened.
std::string last_line(std::string text) {
  text.erase(text.find_last_not_of("\n ") + 1);
  return text.substr(text.rfind('\n') + 1);
}

[[noreturn]] void refuse(const fs::path& path, const std::string& why) {
  throw base::Error(base::ExitCode::kBug,
                    fmt::format("export: {} was not written: {}", path.string(), why));
}

std::vector<at::Tensor> outputs_of(const std::string& bytes, const std::vector<Sample>& samples,
                                   const fs::path& path, const Command& fresh) {
  Calls calls;
  for (const Sample& sample : samples) calls.push_back(sample.arguments);
  try {
    return fresh.empty() ? run_here(bytes, calls) : run_elsewhere(fresh, bytes, calls);
  } catch (const base::Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& e) {
    if (std::string_view(e.what()).find("can't allocate memory") != std::string_view::npos) throw;
    refuse(path, "the module that script() of the model's layers makes does not run: " +
                     last_line(e.what()));
  }
}

}  // namespace

Verified export_torchscript(models::Model& model, const ExportSpec& spec,
                            const std::vector<Sample>& samples, const fs::path& path,
                            const Command& fresh) {
  check_target(path);
  const at::NoGradGuard guard;
  const std::string bytes = archive_of(model, spec);
  check_seal(bytes, path);
  const Verified out = compare(model, spec, samples, outputs_of(bytes, samples, path, fresh));
  if (out.difference > out.bound) {
    refuse(
        path,
        fmt::format("loaded again it differs from the model by {:.2e}; expected at most {:.2e} "
                    "(outputs up to {:.3g}, the model's own gap {:.2e}): script() and forward() of "
                    "some layer do not agree",
                    out.difference, out.bound, out.size, out.gap));
  }
  base::write_durable(path, bytes);
  check_seal(base::read_file(path), path);
  return out;
}

}  // namespace gtrain::deploy
