// The options of one model, whichever it is, as a value: what `model:` of a recipe decodes to. Any
// struct can stand in it that has kName, kDoc and fields() (base/option.h) and, in its own
// namespace, build_model(const XOptions&, const Signature&); of this tree or of somebody's program.
// Which of them a recipe may name is said by a table: models/zoo.h.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "gtrain/base/option.h"
#include "gtrain/models/feature.h"
#include "gtrain/models/model.h"

namespace gtrain::models {

template <class T>
concept Buildable = base::OptionStruct<T> && std::copyable<T> && std::default_initializable<T> &&
    requires(const T& options, const Signature& signature) {
  { T::kName } -> std::convertible_to<std::string_view>;
  { T::kDoc } -> std::convertible_to<std::string_view>;
  { build_model(options, signature) } -> std::convertible_to<std::shared_ptr<Model>>;
};

class ModelOptions {
 public:
  ModelOptions();  // GPS with its defaults
  template <Buildable T>
  ModelOptions(T options) : held_(std::make_unique<Held<T>>(std::move(options))) {}
  ModelOptions(const ModelOptions& other) : held_(other.held_->copy()) {}
  ModelOptions(ModelOptions&&) noexcept = default;
  ModelOptions& operator=(ModelOptions other) noexcept {
    held_ = std::move(other.held_);
    return *this;
  }

  std::string_view name() const { return held_->name(); }
  std::string_view doc() const { return held_->doc(); }
  void visit(base::FieldVisitor& visitor) { held_->visit(visitor); }  // the struct's fields()
  // Throws as models::build does.
  std::shared_ptr<Model> build(const Signature& signature) const { return held_->build(signature); }

  // The struct itself, where it is a T; else nullptr.
  template <class T>
  T* get_if() {
    auto* held = dynamic_cast<Held<T>*>(held_.get());
    return held == nullptr ? nullptr : &held->options;
  }
  template <class T>
  const T* get_if() const {
    return const_cast<ModelOptions*>(this)->get_if<T>();
  }

  // Members that most structs have, under these names: nullptr and nothing where one has not.
  const std::vector<EncoderOptions>* encoders() const { return held_->encoders(); }
  std::optional<std::int64_t> width() const { return held_->width(); }
  // Channels of the vectors that nodes become first, which Context::perturbation is added to: a
  // struct's node_width(), else its width.
  std::optional<std::int64_t> node_width() const { return held_->node_width(); }

 private:
  struct Any {
    virtual ~Any() = default;
    virtual std::unique_ptr<Any> copy() const = 0;
    virtual std::string_view name() const = 0;
    virtual std::string_view doc() const = 0;
    virtual void visit(base::FieldVisitor& visitor) = 0;
    virtual std::shared_ptr<Model> build(const Signature& signature) const = 0;
    virtual const std::vector<EncoderOptions>* encoders() const = 0;
    virtual std::optional<std::int64_t> width() const = 0;
    virtual std::optional<std::int64_t> node_width() const = 0;
  };
  template <class T>
  struct Held final : Any {
    explicit Held(T o) : options(std::move(o)) {}
    std::unique_ptr<Any> copy() const override { return std::make_unique<Held>(options); }
    std::string_view name() const override { return T::kName; }
    std::string_view doc() const override { return T::kDoc; }
    void visit(base::FieldVisitor& visitor) override { options.fields(visitor); }
    std::shared_ptr<Model> build(const Signature& signature) const override {
      return build_model(options, signature);
    }
    const std::vector<EncoderOptions>* encoders() const override {
      if constexpr (requires { &options.encoders; }) return &options.encoders;
      return nullptr;
    }
    std::optional<std::int64_t> width() const override {
      if constexpr (requires { options.width; }) return options.width;
      return std::nullopt;
    }
    std::optional<std::int64_t> node_width() const override {
      if constexpr (requires { options.node_width(); }) return options.node_width();
      return width();
    }
    T options;
  };

  std::unique_ptr<Any> held_;
};

}  // namespace gtrain::models
