#include "gtrain/data/image.h"

#include <fmt/format.h>
#include <hdf5.h>

#include <stdexcept>

#include "gtrain/base/error.h"

namespace gtrain::data {
namespace {

constexpr std::size_t kAlignment = 64;

// Closes on scope end; a negative id is a failure of HDF5, which in memory means no memory.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) { check(id); }
  ~Handle() { close_(id_); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  operator hid_t() const { return id_; }

  static void check(std::int64_t result) {
    if (result < 0) {
      throw base::ResourceError("HDF5 could not build a store in memory (out of memory?)");
    }
  }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

hid_t file_type(DType dtype) {
  switch (dtype) {
    case DType::kI8:
      return H5T_STD_I8LE;
    case DType::kU8:
      return H5T_STD_U8LE;
    case DType::kI16:
      return H5T_STD_I16LE;
    case DType::kI32:
      return H5T_STD_I32LE;
    case DType::kI64:
      return H5T_STD_I64LE;
    case DType::kF32:
      return H5T_IEEE_F32LE;
    case DType::kF64:
      break;
  }
  return H5T_IEEE_F64LE;
}

void initialise() {
  static const bool done = [] {
    H5dont_atexit();  // its exit handler is known to crash after failed writes
    H5open();
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    return true;
  }();
  (void)done;
}

}  // namespace

Image::Image(std::size_t expected) {
  initialise();
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  const Handle create(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  Handle::check(H5Pset_fapl_core(access, expected + (std::size_t{1} << 16), false));
  // Later low bounds write images that HDF5 itself cannot open again.
  Handle::check(H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_LATEST));
  Handle::check(H5Pset_alignment(access, 1, kAlignment));
  Handle::check(H5Pset_small_data_block_size(access, 0));
  Handle::check(H5Pset_userblock(create, kUserBlock));
  file_ = H5Fcreate("gtrain", H5F_ACC_TRUNC, create, access);
  Handle::check(file_);
  links_ = H5Pcreate(H5P_LINK_CREATE);
  layout_ = H5Pcreate(H5P_DATASET_CREATE);
  Handle::check(H5Pset_create_intermediate_group(links_, 1));
  Handle::check(H5Pset_obj_track_times(layout_, false));
  Handle::check(H5Pset_alloc_time(layout_, H5D_ALLOC_TIME_EARLY));
  Handle::check(H5Pset_fill_time(layout_, H5D_FILL_TIME_NEVER));
}

Image::~Image() {
  if (layout_ >= 0) H5Pclose(layout_);
  if (links_ >= 0) H5Pclose(links_);
  if (file_ >= 0) H5Fclose(file_);
}

std::uint64_t Image::place(const std::string& name, DType dtype, std::int64_t rows,
                           std::int64_t width) {
  const hsize_t shape[2] = {static_cast<hsize_t>(rows), static_cast<hsize_t>(width)};
  const Handle space(H5Screate_simple(width == 1 ? 1 : 2, shape, nullptr), H5Sclose);
  const Handle set(H5Dcreate2(file_, ("/" + name).c_str(), file_type(dtype), space, links_, layout_,
                              H5P_DEFAULT),
                   H5Dclose);
  if (rows == 0 || width == 0) return 0;
  const haddr_t offset = H5Dget_offset(set);
  if (offset == HADDR_UNDEF || offset % kAlignment != 0) {
    throw std::logic_error(
        fmt::format("HDF5 placed {} at {}, not at a multiple of 64", name, offset));
  }
  return offset;
}

char* Image::finish() {
  Handle::check(H5Fflush(file_, H5F_SCOPE_GLOBAL));
  void* memory = nullptr;
  Handle::check(H5Fget_vfd_handle(file_, H5P_DEFAULT, &memory));
  hsize_t size = 0;
  Handle::check(H5Fget_filesize(file_, &size));
  size_ = size;
  return *static_cast<char**>(memory);  // the core driver's handle is the address of its buffer
}

}  // namespace gtrain::data
