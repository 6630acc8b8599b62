#include "gtrain/train/recipe_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <utility>

#include "gtrain/train/recipe_scalar.h"
#include "gtrain/train/recipe_suggestion.h"
#include "train/detail/recipe_path.h"

namespace gtrain::train {

namespace {

using base::Field;
using detail::joined_path;
using detail::locate;
using detail::rests_on;
using Kind = RecipeNode::Kind;

std::string bounds_problem(const Field& field, double value) {
  const std::string got = print_number(value);
  const std::string low = print_number(field.min), high = print_number(field.max);
  if (std::isfinite(field.min) && field.max < kBoundless) {
    return fmt::format("must be between {} and {}, got {}", low, high, got);
  }
  return value < field.min ? fmt::format("must be at least {}, got {}", low, got)
                           : fmt::format("must be at most {}, got {}", high, got);
}

class Decoder final : public base::FieldVisitor {
 public:
  explicit Decoder(Problems& problems) : problems_(problems) {}

  // A value of the tree: its node, or nullptr where it is absent and `place` is its nearest
  // ancestor.
  struct Slot {
    const RecipeNode* node = nullptr;
    Place place;
    std::string path;
  };

  void enter(const Slot& slot, std::string_view tag, const Body& fields) {
    Frame frame;
    frame.slot = slot;
    if (!tag.empty()) frame.known.push_back(tag);
    frames_.push_back(std::move(frame));
    fields(*this);
    finish();
    frames_.pop_back();
  }

  using FieldVisitor::operator();
  void operator()(const Field& field, bool& value) override { scalar(field, value, scan_bool); }
  void operator()(const Field& field, std::int64_t& value) override {
    scalar(field, value, scan_integer);
  }
  void operator()(const Field& field, double& value) override { scalar(field, value, scan_number); }
  void operator()(const Field& field, std::string& value) override {
    scalar(field, value, scan_text);
  }
  void operator()(const Field& field, std::optional<bool>& value) override {
    optional(field, value, scan_bool);
  }
  void operator()(const Field& field, std::optional<std::int64_t>& value) override {
    optional(field, value, scan_integer);
  }
  void operator()(const Field& field, std::optional<double>& value) override {
    optional(field, value, scan_number);
  }
  void operator()(const Field& field, std::vector<std::int64_t>& value) override {
    const Slot slot = take(field);
    if (slot.node == nullptr) return;
    std::vector<std::int64_t> read;
    const auto append = [&](const RecipeNode& node, const std::string& path) {
      const Scanned<std::vector<std::int64_t>> scanned = scan_integers(node);
      if (!scanned.problem.empty()) return fail(node.place, path, scanned.problem);
      for (std::int64_t v : scanned.value) {
        if (check(field, v, node.place, path)) read.push_back(v);
      }
    };
    if (slot.node->kind == Kind::kScalar && slot.node->text.find("..") != std::string::npos) {
      append(*slot.node, slot.path);
    } else if (slot.node->kind == Kind::kList) {
      for (std::size_t i = 0; i < slot.node->items.size(); ++i) {
        append(slot.node->items[i], fmt::format("{}[{}]", slot.path, i));
      }
    } else {
      return fail(slot.node->place, slot.path,
                  fmt::format("expected a list such as [0, 1, 2] or a range such as 0..9, got {}",
                              kind_of(*slot.node)));
    }
    value = std::move(read);
  }
  void operator()(const Field& field, std::vector<double>& value) override {
    scalars(field, value, scan_number);
  }
  void operator()(const Field& field, std::vector<std::string>& value) override {
    scalars(field, value, scan_text);
  }

  void rest(const Field& field, std::map<std::string, double>& values) override {
    Frame& frame = frames_.back();
    frame.rest = [this, &frame, &values, min = field.min, max = field.max] {
      for (const RecipeEntry& entry : frame.slot.node->entries) {
        if (claimed(frame, entry.key)) continue;
        const std::string path = joined_path(frame.slot.path, entry.key);
        const Scanned<double> scanned = scan_number(entry.value);
        if (!scanned.problem.empty()) {
          fail(entry.value.place, path,
               fmt::format("{}{}; keys other than {} hold numbers", scanned.problem,
                           did_you_mean(entry.key, frame.known), joined(frame.known)));
        } else if (check({.key = entry.key, .min = min, .max = max}, scanned.value,
                         entry.value.place, path)) {
          values[entry.key] = scanned.value;
        }
      }
    };
  }

  void object(const Field& field, const Body& fields) override {
    const Slot slot = take(field);
    if (slot.node == nullptr && field.required) return;
    if (slot.node != nullptr && !is_map(slot)) return;
    enter(slot, {}, fields);
  }

  void maybe(const Field& field, base::MaybeAccess& access) override {
    const Slot slot = take(field);
    if (slot.node == nullptr || slot.node->kind == Kind::kNull) return;
    if (!is_map(slot)) return;
    access.emplace();
    enter(slot, {}, [&](FieldVisitor& v) { access.fields(v); });
  }

  void list(const Field& field, base::ListAccess& access) override {
    const Slot slot = take(field);
    if (slot.node == nullptr) return;
    if (slot.node->kind != Kind::kList) {
      return fail(slot.node->place, slot.path,
                  fmt::format("expected a list, got {}", kind_of(*slot.node)));
    }
    access.resize(0);
    access.resize(slot.node->items.size());
    for (std::size_t i = 0; i < slot.node->items.size(); ++i) {
      const RecipeNode& item = slot.node->items[i];
      element_ = Slot{&item, item.place, fmt::format("{}[{}]", slot.path, i)};
      access.element(i, field, *this);
    }
  }

  void choice(const Field& field, base::ChoiceAccess& access) override {
    const Slot slot = take(field);
    std::vector<std::string_view> names;
    for (const auto& alternative : access.alternatives()) names.push_back(alternative.name);
    if (slot.node == nullptr) {
      if (!field.required) enter(slot, field.tag, [&](FieldVisitor& v) { access.fields(v); });
      return;
    }
    if (slot.node->kind != Kind::kMap) {
      return fail(slot.node->place, slot.path,
                  fmt::format("expected a map such as {{{}: {}}}, got {}; known: {}", field.tag,
                              names.front(), kind_of(*slot.node), joined(names)));
    }
    const RecipeEntry* tag = slot.node->find(field.tag);
    if (tag == nullptr) {
      return fail(slot.node->place, slot.path,
                  fmt::format("key {} is missing; choose one of {}", field.tag, joined(names)));
    }
    const std::string path = joined_path(slot.path, field.tag);
    if (tag->value.kind != Kind::kScalar) {
      return fail(
          tag->value.place, path,
          fmt::format("expected text, got {}; known: {}", kind_of(tag->value), joined(names)));
    }
    if (!access.select(tag->value.text)) {
      return fail(tag->value.place, path,
                  fmt::format("unknown value {}{}; known: {}", kind_of(tag->value),
                              did_you_mean(tag->value.text, names), joined(names)));
    }
    enter(slot, field.tag, [&](FieldVisitor& v) { access.fields(v); });
  }

  void require(bool holds, std::string_view path, const std::string& message) override {
    if (holds) return;
    const Frame& frame = frames_.back();
    std::string full = joined_path(frame.slot.path, path);
    if (path.empty() || path[0] == '[') full = frame.slot.path + std::string(path);
    if (rests_on(failed_, frame.slot.path, full, message)) return;
    problems_.add(locate(frame.slot.node, frame.slot.place, path), full, message);
  }

 private:
  struct Frame {
    Slot slot;
    std::vector<std::string_view> known;
    std::function<void()> rest;
  };

  static bool claimed(const Frame& frame, std::string_view key) {
    return std::find(frame.known.begin(), frame.known.end(), key) != frame.known.end();
  }

  // The slot of a field in the current map, or the list element being visited.
  Slot take(const Field& field) {
    if (element_) return *std::exchange(element_, std::nullopt);
    Frame& frame = frames_.back();
    frame.known.push_back(field.key);
    Slot slot{nullptr, frame.slot.place, joined_path(frame.slot.path, field.key)};
    const RecipeEntry* entry = frame.slot.node ? frame.slot.node->find(field.key) : nullptr;
    if (entry != nullptr) {
      slot.node = &entry->value;
      slot.place = entry->value.place;
    } else if (field.required) {
      fail(slot.place, slot.path, "is missing");
    }
    return slot;
  }

  void fail(const Place& place, const std::string& path, const std::string& what) {
    problems_.add(place, path, what);
    failed_.push_back(path);
  }

  bool is_map(const Slot& slot) {
    if (slot.node->kind == Kind::kMap) return true;
    fail(slot.node->place, slot.path, fmt::format("expected a map, got {}", kind_of(*slot.node)));
    return false;
  }

  bool check(const Field&, bool, const Place&, const std::string&) { return true; }
  bool check(const Field& field, std::int64_t value, const Place& place, const std::string& path) {
    return check(field, static_cast<double>(value), place, path);
  }
  bool check(const Field& field, double value, const Place& place, const std::string& path) {
    if (value >= field.min && value <= field.max) return true;
    fail(place, path, bounds_problem(field, value));
    return false;
  }
  bool check(const Field& field, const std::string& value, const Place& place,
             const std::string& path) {
    const auto& allowed = field.one_of;
    if (allowed.empty() || std::find(allowed.begin(), allowed.end(), value) != allowed.end()) {
      return true;
    }
    fail(place, path,
         fmt::format("unknown value {}{}; known: {}", print_text(value),
                     did_you_mean(value, allowed), joined(allowed)));
    return false;
  }

  template <class T>
  void read(const Field& field, const RecipeNode& node, const std::string& path, T& value,
            Scanned<T> (*scan)(const RecipeNode&)) {
    Scanned<T> scanned = scan(node);
    if (!scanned.problem.empty()) {
      fail(node.place, path, scanned.problem);
    } else if (check(field, scanned.value, node.place, path)) {
      value = std::move(scanned.value);
    }
  }

  template <class T>
  void scalar(const Field& field, T& value, Scanned<T> (*scan)(const RecipeNode&)) {
    const Slot slot = take(field);
    if (slot.node != nullptr) read(field, *slot.node, slot.path, value, scan);
  }

  template <class T>
  void optional(const Field& field, std::optional<T>& value,
                Scanned<T> (*scan)(const RecipeNode&)) {
    const Slot slot = take(field);
    if (slot.node == nullptr) return;
    if (slot.node->kind == Kind::kNull) return value.reset();
    T got{};
    const std::size_t failures = failed_.size();
    read(field, *slot.node, slot.path, got, scan);
    if (failed_.size() == failures) value = got;
  }

  template <class T>
  void scalars(const Field& field, std::vector<T>& value, Scanned<T> (*scan)(const RecipeNode&)) {
    const Slot slot = take(field);
    if (slot.node == nullptr) return;
    if (slot.node->kind != Kind::kList) {
      return fail(slot.node->place, slot.path,
                  fmt::format("expected a list, got {}", kind_of(*slot.node)));
    }
    value.assign(slot.node->items.size(), T{});
    for (std::size_t i = 0; i < value.size(); ++i) {
      read(field, slot.node->items[i], fmt::format("{}[{}]", slot.path, i), value[i], scan);
    }
  }

  // The keys that no field has taken.
  void finish() {
    Frame& frame = frames_.back();
    if (frame.slot.node == nullptr) return;
    if (frame.rest) return frame.rest();
    for (const RecipeEntry& entry : frame.slot.node->entries) {
      if (claimed(frame, entry.key)) continue;
      problems_.add(entry.place, joined_path(frame.slot.path, entry.key),
                    fmt::format("unknown key{}; known: {}", did_you_mean(entry.key, frame.known),
                                joined(frame.known)));
    }
  }

  Problems& problems_;
  std::deque<Frame> frames_;         // references stay valid while deeper frames come and go
  std::vector<std::string> failed_;  // paths whose value could not be taken
  std::optional<Slot> element_;
};

}  // namespace

void decode(const RecipeNode& root, const base::FieldVisitor::Body& fields, Problems& problems) {
  if (root.kind != Kind::kMap) {
    problems.add(root.place, "", fmt::format("expected a map of keys, got {}", kind_of(root)));
    return;
  }
  Decoder decoder(problems);
  decoder.enter({&root, root.place, {}}, {}, fields);
}

}  // namespace gtrain::train
