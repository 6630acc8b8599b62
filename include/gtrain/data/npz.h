// Numpy archives as OGB's DatasetSaver writes them: a zip of .npy arrays, stored or deflated
// (also zip64). Plain numbers in C order only: object arrays (which are pickles), structured types,
// big-endian data and Fortran order are refused by name. Nothing is ever unpacked to disk.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "gtrain/data/column.h"

namespace gtrain::data {

struct Array {
  std::vector<std::int64_t> shape;
  Column values;  // rows = shape[0] (1 for a scalar), width = the product of the rest
};

// By member name without `.npy`: bool, int8 to int64, uint8, float32, float64, as stored. Throws
// base::DataError naming the file and the member.
std::map<std::string, Array> read_npz(const std::filesystem::path& path);

}  // namespace gtrain::data
