#include "gtrain/data/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <map>
#include <sstream>
#include <string_view>
#include <system_error>

#include "gtrain/base/error.h"
#include "gtrain/base/log.h"
#include "gtrain/base/resource.h"
#include "gtrain/data/folder.h"

namespace gtrain::data {
namespace {

namespace fs = std::filesystem;

void add(std::vector<fs::path>& folders, const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return;
  const fs::path canonical = fs::canonical(path, error);
  if (error || std::find(folders.begin(), folders.end(), canonical) != folders.end()) return;
  folders.push_back(canonical);
}

fs::path home_cache() {
  const char* home = std::getenv("HOME");
  return fs::path(home != nullptr ? home : ".") / ".cache" / "gtrain";
}

bool plain(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' ||
                  c == '-';
         });
}

void require_plain(const std::string& name) {
  if (!plain(name)) {
    throw base::RecipeError(fmt::format(
        "dataset.name: {}: expected letters, digits, '.', '_' and '-' only (a folder goes under "
        "dataset.path)",
        name));
  }
}

}  // namespace

std::vector<fs::path> dataset_folders(Shipped shipped) {
  std::vector<fs::path> folders;
  add(folders, "datasets");
  try {
    add(folders, base::resource_root() / "datasets");
  } catch (const base::DataError&) {
    if (shipped == Shipped::kNeeded) throw;
  }
  if (const char* list = std::getenv("GTRAIN_DATA")) {
    std::istringstream stream(list);
    for (std::string folder; std::getline(stream, folder, ':');) {
      if (!folder.empty()) add(folders, folder);
    }
  }
  add(folders, home_cache());
  return folders;
}

fs::path cache_folder() {
  const char* cache = std::getenv("GTRAIN_CACHE");
  return cache != nullptr && *cache != '\0' ? fs::path(cache) : home_cache();
}

std::optional<Card> find_card(const std::string& name, Shipped shipped) {
  require_plain(name);
  for (const fs::path& folder : dataset_folders(shipped)) {
    const fs::path path = folder / name / "card.yaml";
    if (fs::exists(path)) return read_card(path);
  }
  return std::nullopt;
}

std::optional<fs::path> find_data(const std::string& name, const std::optional<Card>& card) {
  require_plain(name);
  std::vector<std::string> names{name};
  if (card) names.insert(names.end(), card->folders.begin(), card->folders.end());
  for (std::size_t i = 0, n = names.size(); i < n; ++i) {
    std::string spelled = names[i];
    std::replace(spelled.begin(), spelled.end(), '-', '_');
    if (spelled != names[i]) names.push_back(spelled);
  }
  for (const fs::path& folder : dataset_folders()) {
    for (const std::string& candidate : names) {
      if (is_folder(folder / candidate)) return folder / candidate;
      if (fs::is_regular_file(folder / (candidate + ".h5"))) return folder / (candidate + ".h5");
    }
  }
  return std::nullopt;
}

std::vector<Listing> list_datasets() {
  std::map<std::string, Listing> found;
  for (const fs::path& folder : dataset_folders()) {
    std::error_code error;
    const fs::directory_iterator entries(folder, error);
    if (error) base::warn(fmt::format("{}: {}", folder.string(), error.message()));
    for (const auto& entry : entries) {
      const std::string name = entry.path().filename().string();
      const fs::path path = entry.path() / "card.yaml";
      if (!plain(name) || found.count(name) != 0 || !fs::exists(path)) continue;
      try {
        Listing listing{read_card(path), std::nullopt};
        listing.data = find_data(name, listing.card);
        found.emplace(name, std::move(listing));
      } catch (const base::DataError& e) {  // the others are there all the same
        base::warn(e.what());
      }
    }
  }
  std::vector<Listing> listings;
  for (auto& [name, listing] : found) listings.push_back(std::move(listing));
  return listings;
}

std::string describe_catalog() {
  std::string out;
  for (const Listing& l : list_datasets()) {
    out += fmt::format(
        "{:<14} {:<17} {:<13} {}\n{:<14} {}\n", l.card.name, l.card.task, l.card.metric,
        l.card.title, "",
        l.data ? "found in " + l.data->string() : "not on this machine; from " + l.card.source);
  }
  return out;
}

}  // namespace gtrain::data
